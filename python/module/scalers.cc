// omninorm._scalers: the scalers of the C++ library on NumPy arrays and Arrow tables.
//
// A scaler here never changes: what adds to it returns another one. So threads and copies share one
// without a lock, and a call that fails or is interrupted leaves no trace.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "omninorm/scaler.h"
#include "python/module/arrow.h"
#include "python/module/threads.h"
#include "src/core/check.h"

namespace py = pybind11;

namespace omninorm::python {
namespace {

using ScalerPointer = std::shared_ptr<Scaler>;

template <class Enum>
Enum choice(const char* op, const char* option, const std::string& text,
            std::initializer_list<std::pair<const char*, Enum>> choices) {
  std::string names;
  for (const auto& [name, value] : choices) {
    if (text == name) return value;
    names += (names.empty() ? "\"" : " or \"") + std::string(name) + "\"";
  }
  internal::fail(op, std::string(option) + " to be " + names, "\"" + text + "\"");
}

Variance variance_of(const char* op, const std::string& text) {
  return choice<Variance>(op, "variance", text,
                          {{"biased", Variance::biased}, {"unbiased", Variance::unbiased}});
}

Infinite infinite_of(const char* op, const std::string& text) {
  return choice<Infinite>(op, "infinite", text,
                          {{"error", Infinite::error}, {"ignore", Infinite::ignore}});
}

const char* text_of(Variance variance) {
  return variance == Variance::biased ? "biased" : "unbiased";
}
const char* text_of(Infinite infinite) { return infinite == Infinite::error ? "error" : "ignore"; }

// With the names that the scaler's file has.
py::dict options_of(const Scaler& scaler) {
  py::dict options;
  if (const auto* z = dynamic_cast<const ZScoreScaler*>(&scaler)) {
    options["variance"] = text_of(z->options().variance);
    options["with_mean"] = z->options().with_mean;
    options["with_std"] = z->options().with_std;
    options["infinite"] = text_of(z->options().infinite);
  } else if (const auto* m = dynamic_cast<const MinMaxScaler*>(&scaler)) {
    options["low"] = m->options().low;
    options["high"] = m->options().high;
    options["clip"] = m->options().clip;
    options["infinite"] = text_of(m->options().infinite);
  } else if (const auto* r = dynamic_cast<const RunningScaler*>(&scaler)) {
    options["alpha"] = r->options().alpha;
    options["variance"] = text_of(r->options().variance);
    options["infinite"] = text_of(r->options().infinite);
  }
  return options;
}

// The array's own memory: float32 or float64 of this machine's byte order, aligned.
template <class Tensor, class Pointer>
Tensor tensor_of(const py::array& array, Pointer data) {
  const bool f64 = py::isinstance<py::array_t<double>>(array);
  if (!f64 && !py::isinstance<py::array_t<float>>(array)) {
    internal::fail("scaler", "an array of float32 or float64", py::str(array.dtype()));
  }
  std::vector<std::int64_t> sizes, strides;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    if (array.strides(i) % array.itemsize() != 0) {
      internal::fail("scaler", "strides of whole elements", std::to_string(array.strides(i)));
    }
    sizes.push_back(array.shape(i));
    strides.push_back(array.strides(i) / array.itemsize());
  }
  return Tensor(data, f64 ? DType::f64 : DType::f32, sizes, strides);
}

ConstTensor input(const py::array& array) { return tensor_of<ConstTensor>(array, array.data()); }

Tensor output(py::array& array) { return tensor_of<Tensor>(array, array.mutable_data()); }

// Rows [first, first + rows).
template <class Tensor>
Tensor rows_of(Tensor tensor, std::int64_t first, std::int64_t rows) {
  using Byte = std::conditional_t<std::is_same_v<Tensor, ConstTensor>, const char, char>;
  if (tensor.data) {
    tensor.data = static_cast<Byte*>(tensor.data) +
                  first * tensor.strides[0] * static_cast<std::int64_t>(size_of(tensor.dtype));
  }
  tensor.sizes[0] = rows;
  return tensor;
}

// An error of a part of the rows, with the row's number in all of them.
Error from_row(const ValueError& error, std::int64_t first) {
  std::string message = error.what();
  const std::string row = "row " + std::to_string(error.row);
  if (const auto at = message.find(row); at != std::string::npos) {
    message.replace(at, row.size(), "row " + std::to_string(error.row + first));
  }
  return Error(message);
}

// Rows, or elements, of one call to the library; between calls signals are looked for. So many
// rows that the library can cut them into tasks for many threads.
constexpr std::int64_t kStepRows = std::int64_t{1} << 20;
constexpr std::int64_t kStepElements = std::int64_t{1} << 23;

// Takes in rows that are number `first` and later of what the caller gave.
void add_rows(Scaler& scaler, std::span<const ConstTensor> parts, const ConstTensor& weight,
              std::int64_t first, InterruptibleExecutor& executor) {
  const std::int64_t rows = parts.front().sizes[0];
  std::int64_t columns = 0;
  for (const ConstTensor& part : parts) columns += part.sizes[1];
  std::int64_t step = kStepRows;
  if (dynamic_cast<RunningScaler*>(&scaler)) {
    // Its rows are no tasks of their own; every split gives the same bits.
    step = std::max<std::int64_t>(kStepElements / std::max<std::int64_t>(columns, 1), 1);
  }
  std::int64_t row = 0;
  do {
    const std::int64_t count = std::min(step, rows - row);
    std::vector<ConstTensor> here;
    for (const ConstTensor& part : parts) here.push_back(rows_of(part, row, count));
    try {
      scaler.partial_fit_parts(here, weight.given() ? rows_of(weight, row, count) : ConstTensor{},
                               {&executor});
    } catch (const ValueError& error) {
      throw from_row(error, first + row);
    }
    executor.check_signals();
    row += count;
  } while (row < rows && !executor.interrupted());
}

void note(Scaler& scaler, const std::vector<std::string>& names, const std::string& time) {
  if (!names.empty()) scaler.fitted_on().column_names = names;
  scaler.fitted_on().time = time;
}

// Its rows are cut from it before the library sees it.
void check_weight(const ConstTensor& weight, std::int64_t rows) {
  if (weight.rank == 1 && weight.sizes[0] == rows) return;
  internal::fail("scaler", std::to_string(rows) + " sample_weights, one for each row",
                 "shape " + internal::shape_text(
                                {weight.sizes.data(), static_cast<std::size_t>(weight.rank)}));
}

ScalerPointer partial_fit(const Scaler& scaler, const py::array& x,
                          const std::optional<py::array>& weight,
                          const std::vector<std::string>& names, const std::string& time) {
  const ConstTensor from = input(x);
  const ConstTensor weights = weight ? input(*weight) : ConstTensor{};
  ScalerPointer result = scaler.clone();
  if (from.rank != 2) internal::fail("scaler", "x of 2 dimensions", std::to_string(from.rank));
  if (weight) check_weight(weights, from.sizes[0]);
  without_gil(from.elements(), [&](InterruptibleExecutor& executor) {
    add_rows(*result, {&from, 1}, weights, 0, executor);
  });
  note(*result, names, time);
  return result;
}

ScalerPointer partial_fit_arrow(const Scaler& scaler, ArrowTable& table,
                                const std::optional<py::array>& weight,
                                const std::vector<std::string>& names, const std::string& time) {
  const ConstTensor weights = weight ? input(*weight) : ConstTensor{};
  if (weight && weights.rank != 1) {
    internal::fail("scaler", "sample_weight of 1 dimension", std::to_string(weights.rank));
  }
  const std::int64_t weighted = weight ? weights.sizes[0] : 0;
  ScalerPointer result = scaler.clone();
  std::int64_t rows = 0;
  // How much will come is not known.
  without_gil(kElementsWorthThreads, [&](InterruptibleExecutor& executor) {
    for (ArrowBatch batch; !executor.interrupted() && table.next(batch); rows += batch.rows) {
      ConstTensor here;
      if (weights.given()) {
        if (batch.rows > weighted - rows) {
          internal::fail("scaler", "a sample_weight for each row", std::to_string(weighted));
        }
        here = rows_of(weights, rows, batch.rows);
      }
      add_rows(*result, batch.columns, here, rows, executor);
    }
  });
  if (weights.given() && rows != weighted) {
    internal::fail("scaler", std::to_string(rows) + " sample_weights, one for each row",
                   std::to_string(weighted));
  }
  note(*result, names, time);
  return result;
}

void apply(const Scaler& scaler, bool inverse, const ConstTensor& x, const Tensor& y,
           std::span<const std::int64_t> columns, Executor& executor) {
  if (inverse) {
    scaler.inverse_transform(x, y, columns, {&executor});
  } else {
    scaler.transform(x, y, columns, {&executor});
  }
}

void transform(const Scaler& scaler, const py::array& x, py::array y, bool inverse) {
  const ConstTensor from = input(x);
  const Tensor to = output(y);
  without_gil(from.elements(), [&](InterruptibleExecutor& executor) {
    apply(scaler, inverse, from, to, {}, executor);
  });
}

// Column by column into an array in which columns are contiguous.
py::array transform_arrow(const Scaler& scaler, ArrowTable& table, bool inverse) {
  std::vector<ArrowBatch> batches;
  std::int64_t rows = 0;
  without_gil(0, [&](InterruptibleExecutor& executor) {
    for (ArrowBatch batch; !executor.interrupted() && table.next(batch);) {
      rows += batch.rows;
      batches.push_back(std::move(batch));
      batch = {};
      executor.check_signals();
    }
  });
  const auto columns = static_cast<std::int64_t>(table.names().size());
  const py::dtype dtype =
      table.dtype() == DType::f32 ? py::dtype::of<float>() : py::dtype::of<double>();
  const py::ssize_t size = dtype.itemsize();
  py::array y(dtype, std::vector<py::ssize_t>{rows, columns},
              std::vector<py::ssize_t>{size, size * std::max<py::ssize_t>(rows, 1)});
  Tensor to = output(y);
  without_gil(to.elements(), [&](InterruptibleExecutor& executor) {
    std::int64_t first = 0;
    for (const ArrowBatch& batch : batches) {
      for (std::int64_t j = 0; j < columns && !executor.interrupted(); ++j) {
        Tensor column = rows_of(to, first, batch.rows);
        column.data = static_cast<char*>(column.data) + j * to.strides[1] * size;
        column.sizes[1] = 1;
        apply(scaler, inverse, batch.columns[static_cast<std::size_t>(j)], column, {&j, 1},
              executor);
      }
      first += batch.rows;
    }
  });
  return y;
}

ScalerPointer merged(const Scaler& a, const Scaler& b) {
  ScalerPointer result = a.clone();
  result->merge(b);
  return result;
}

// One number a column.
template <class T = double, class Get>
py::array_t<T> per_column(const Scaler& scaler, Get&& get) {
  py::array_t<T> values(std::max<std::int64_t>(scaler.columns(), 0));
  auto out = values.template mutable_unchecked<1>();
  for (py::ssize_t j = 0; j < values.size(); ++j) out(j) = get(j);
  return values;
}

double mean_of(const Scaler& scaler, std::int64_t j) {
  const auto column = static_cast<std::size_t>(j);
  if (const auto* z = dynamic_cast<const ZScoreScaler*>(&scaler)) {
    const ColumnMoments& m = z->moments()[column];
    return m.count.high == 0 ? std::numeric_limits<double>::quiet_NaN() : m.mean.high;
  }
  return scaler.summary(j).center;
}

double variance_at(const Scaler& scaler, std::int64_t j) {
  if (const auto* z = dynamic_cast<const ZScoreScaler*>(&scaler)) return z->variance(j);
  if (const auto* r = dynamic_cast<const RunningScaler*>(&scaler)) return r->variance(j);
  internal::fail("scaler", "a scaler that has variances", scaler.kind());
}

double extreme_of(const Scaler& scaler, std::int64_t j, double ColumnExtremes::*which) {
  const auto* m = dynamic_cast<const MinMaxScaler*>(&scaler);
  if (!m) internal::fail("scaler", "a min_max scaler", scaler.kind());
  const ColumnExtremes& e = m->extremes()[static_cast<std::size_t>(j)];
  return e.count.high == 0 ? std::numeric_limits<double>::quiet_NaN() : e.*which;
}

// std::system_error as the OSError of its number, FileNotFoundError and so on.
void translate_system_error(std::exception_ptr thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::system_error& error) {
    const py::tuple arguments = py::make_tuple(error.code().value(), error.what());
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
  }
}

void define_scaler(py::module_& m) {
  py::class_<Scaler, ScalerPointer>(m, "Scaler")
      .def_property_readonly("kind", &Scaler::kind)
      .def_property_readonly("columns", &Scaler::columns)
      .def_property_readonly("rows", &Scaler::rows)
      .def_property_readonly("options", &options_of)
      .def_property_readonly("names", [](const Scaler& s) { return s.fitted_on().column_names; })
      .def_property_readonly("counts",
                             [](const Scaler& s) {
                               return per_column(
                                   s, [&](std::int64_t j) { return s.summary(j).count; });
                             })
      .def_property_readonly("scales",
                             [](const Scaler& s) {
                               return per_column(
                                   s, [&](std::int64_t j) { return s.summary(j).scale; });
                             })
      .def_property_readonly("constant",
                             [](const Scaler& s) {
                               return per_column<bool>(
                                   s, [&](std::int64_t j) { return s.summary(j).constant; });
                             })
      .def_property_readonly("means",
                             [](const Scaler& s) {
                               return per_column(s, [&](std::int64_t j) { return mean_of(s, j); });
                             })
      .def_property_readonly("variances",
                             [](const Scaler& s) {
                               return per_column(s,
                                                 [&](std::int64_t j) { return variance_at(s, j); });
                             })
      .def_property_readonly("minima",
                             [](const Scaler& s) {
                               return per_column(s, [&](std::int64_t j) {
                                 return extreme_of(s, j, &ColumnExtremes::minimum);
                               });
                             })
      .def_property_readonly("maxima",
                             [](const Scaler& s) {
                               return per_column(s, [&](std::int64_t j) {
                                 return extreme_of(s, j, &ColumnExtremes::maximum);
                               });
                             })
      .def("partial_fit", &partial_fit, py::arg("x"), py::arg("sample_weight"), py::arg("names"),
           py::arg("time"))
      .def("partial_fit_arrow", &partial_fit_arrow, py::arg("table"), py::arg("sample_weight"),
           py::arg("names"), py::arg("time"))
      .def("transform", &transform, py::arg("x"), py::arg("y"), py::arg("inverse"))
      .def("transform_arrow", &transform_arrow, py::arg("table"), py::arg("inverse"))
      .def("merge", &merged)
      .def("same_state", &Scaler::same_state)
      .def("to_json", &Scaler::to_json)
      .def("save", [](const Scaler& s, const std::string& path) { save_scaler(s, path); })
      .def("__copy__", [](const py::object& self) { return self; })
      .def("__deepcopy__", [](const py::object& self, const py::dict&) { return self; })
      .def(py::pickle([](const Scaler& s) { return s.to_json(); },
                      [](const std::string& json) { return ScalerPointer(load_scaler(json)); }));
}

}  // namespace
}  // namespace omninorm::python

PYBIND11_MODULE(_scalers, m) {
  using namespace omninorm;
  using namespace omninorm::python;
  m.doc() = "The C++ library's scalers. A scaler never changes: what adds to it returns another.";
  py::register_exception<Error>(m, "Error", PyExc_ValueError);
  py::register_exception_translator(&translate_system_error);
  define_scaler(m);
  py::class_<ArrowTable>(m, "ArrowTable")
      .def(py::init<const py::object&>())
      .def_property_readonly("names", &ArrowTable::names);
  m.def(
      "z_score",
      [](const std::string& variance, bool with_mean, bool with_std,
         const std::string& infinite) -> ScalerPointer {
        const char* op = "z_score_scaler";
        return std::make_shared<ZScoreScaler>(ZScoreOptions{variance_of(op, variance), with_mean,
                                                            with_std, infinite_of(op, infinite)});
      },
      py::kw_only(), py::arg("variance"), py::arg("with_mean"), py::arg("with_std"),
      py::arg("infinite"));
  m.def(
      "min_max",
      [](double low, double high, bool clip, const std::string& infinite) -> ScalerPointer {
        return std::make_shared<MinMaxScaler>(
            MinMaxOptions{low, high, clip, infinite_of("min_max_scaler", infinite)});
      },
      py::kw_only(), py::arg("low"), py::arg("high"), py::arg("clip"), py::arg("infinite"));
  m.def(
      "running",
      [](double alpha, const std::string& variance, const std::string& infinite) -> ScalerPointer {
        const char* op = "running_scaler";
        return std::make_shared<RunningScaler>(
            RunningOptions{alpha, variance_of(op, variance), infinite_of(op, infinite)});
      },
      py::kw_only(), py::arg("alpha"), py::arg("variance"), py::arg("infinite"));
  m.def("load", [](const std::string& json) { return ScalerPointer(load_scaler(json)); });
  m.def("read", [](const std::string& path) { return ScalerPointer(read_scaler(path)); });
  m.def("alpha_of_half_life", &alpha_of_half_life);
  m.def("num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads);
}
