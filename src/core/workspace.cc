#include "src/core/workspace.h"

#include <memory>
#include <string>

#include "src/core/check.h"

namespace omninorm::internal {

Workspace::Workspace(const char* op, const char* call, std::size_t bytes, const Context& context) {
  if (bytes == 0) return;
  if (context.workspace.empty() && bytes <= kNear) {
    memory_ = near_;
    return;
  }
  if (context.workspace.empty()) {
    own_.reset(new (std::align_val_t{kAlignment}) std::byte[bytes]);
    memory_ = own_.get();
    return;
  }
  void* start = context.workspace.data();
  std::size_t space = context.workspace.size();
  if (std::align(kAlignment, bytes, start, space) == nullptr) {
    const std::string query = std::string(op) + "_" + call + "_workspace()";
    fail(op, "a workspace of at least " + std::to_string(with_slack(bytes)) + " bytes",
         std::to_string(context.workspace.size()),
         "ask " + query + " for the size, or leave the workspace empty");
  }
  memory_ = static_cast<std::byte*>(start);
}

}  // namespace omninorm::internal
