#include "datasets/pacs/multipart.h"

#include <algorithm>
#include <cctype>

#include "common/base/status.h"

namespace consilium::datasets::pacs {
namespace {

constexpr std::size_t kMaxHeaderBytes = 16 << 10;

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return lower;
}

}  // namespace

absl::StatusOr<std::string> MultipartBoundary(std::string_view content_type) {
  const std::string lower = LowerCase(content_type);
  const std::size_t at = lower.find("boundary=");
  if (!lower.starts_with("multipart/related") || at == std::string::npos) {
    return absl::InvalidArgumentError(
        "the archive did not answer with multipart/related: is the URL that of its DICOMweb root?");
  }
  std::string_view value = content_type.substr(at + 9);
  if (value.starts_with('"')) {
    value.remove_prefix(1);
    value = value.substr(0, value.find('"'));
  } else {
    value = value.substr(0, value.find_first_of("; \t"));
  }
  if (value.empty() || value.size() > 70) {
    return absl::InvalidArgumentError("a multipart boundary is of 1 to 70 characters");
  }
  return std::string(value);
}

MultipartParser::MultipartParser(std::string_view boundary, Handler handler)
    // The line end before the first delimiter may be missing.
    : delimiter_(StrCat("\r\n--", boundary)), handler_(std::move(handler)), buffer_("\r\n") {}

absl::Status MultipartParser::Feed(ByteView bytes) {
  buffer_.append(AsText(bytes));
  for (;;) {
    ASSIGN_OR_RETURN(const bool goes_on, Step());
    if (!goes_on) return absl::OkStatus();
  }
}

absl::StatusOr<bool> MultipartParser::StepToDelimiter() {
  const bool body = state_ == State::kBody;
  const std::size_t found = buffer_.find(delimiter_);
  const bool whole = found != std::string::npos;
  const std::size_t keep = delimiter_.size() - 1;
  const std::size_t passed = whole ? found : buffer_.size() - std::min(buffer_.size(), keep);
  if (body && passed > 0) {
    RETURN_IF_ERROR(handler_.data(AsBytes(std::string_view(buffer_).substr(0, passed))));
  }
  buffer_.erase(0, whole ? passed + delimiter_.size() : passed);
  if (!whole) return false;
  if (body) RETURN_IF_ERROR(handler_.end());
  state_ = State::kAfterDelimiter;
  return true;
}

absl::StatusOr<bool> MultipartParser::Step() {
  switch (state_) {
    case State::kPreamble:
    case State::kBody:
      return StepToDelimiter();
    case State::kAfterDelimiter: {
      if (buffer_.starts_with("--")) {
        state_ = State::kDone;
        return true;
      }
      const std::size_t end = buffer_.find("\r\n");
      if (end == std::string::npos) {
        if (buffer_.size() > kMaxHeaderBytes) break;
        return false;
      }
      buffer_.erase(0, end);  // the line end stays: headers may be none
      state_ = State::kHeaders;
      return true;
    }
    case State::kHeaders: {
      const std::size_t end = buffer_.find("\r\n\r\n");
      if (end == std::string::npos) {
        if (buffer_.size() > kMaxHeaderBytes) break;
        return false;
      }
      buffer_.erase(0, end + 4);
      RETURN_IF_ERROR(handler_.begin());
      state_ = State::kBody;
      return true;
    }
    case State::kDone:
      buffer_.clear();
      return false;
  }
  return absl::InvalidArgumentError("the archive's answer has a part with over 16 KiB of headers");
}

absl::Status MultipartParser::Finish() const {
  if (state_ == State::kDone) return absl::OkStatus();
  return absl::UnavailableError("the archive's answer broke off");
}

}  // namespace consilium::datasets::pacs
