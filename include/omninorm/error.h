// omninorm::Error: the one exception that the library throws.
#pragma once

#include <stdexcept>
#include <string>

namespace omninorm {

// Thrown for arguments that a call cannot take, before anything is written. The message reads
// "[op] expected ..., got ...", and says what to do where that is not plain.
class Error : public std::invalid_argument {
 public:
  explicit Error(const std::string& message) : std::invalid_argument(message) {}
};

}  // namespace omninorm
