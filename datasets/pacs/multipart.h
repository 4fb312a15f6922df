#pragma once

// multipart/related (RFC 2387, RFC 2046 section 5.1), as WADO-RS answers, piece by piece: memory
// does not grow with the parts.

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace consilium::datasets::pacs {

// The boundary that a Content-Type names. kInvalidArgument: it is no multipart type, or has none.
absl::StatusOr<std::string> MultipartBoundary(std::string_view content_type);

class MultipartParser {
 public:
  struct Handler {
    std::function<absl::Status()> begin;
    std::function<absl::Status(ByteView)> data;  // valid for the call only
    std::function<absl::Status()> end;
  };
  MultipartParser(std::string_view boundary, Handler handler);

  // The handler's errors are returned; a part's headers over 16 KiB are kInvalidArgument.
  absl::Status Feed(ByteView bytes);
  // kUnavailable when the last delimiter has not come.
  absl::Status Finish() const;

 private:
  enum class State { kPreamble, kAfterDelimiter, kHeaders, kBody, kDone };
  // True: go on with what is buffered; false: more is needed.
  absl::StatusOr<bool> Step();
  absl::StatusOr<bool> StepToDelimiter();

  const std::string delimiter_;
  const Handler handler_;
  State state_ = State::kPreamble;
  std::string buffer_;
};

}  // namespace consilium::datasets::pacs
