#include "datasets/worker/protocol.h"

#include <algorithm>
#include <cstring>

#include "common/base/text.h"
#include "common/base/version.h"

namespace consilium::datasets::worker {
namespace {

constexpr std::string_view kMagic = "CWRQ";

// No escape sequence of a file's reaches a terminal.
std::string Printable(ByteView bytes) {
  std::string text(AsText(bytes));
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

}  // namespace

std::string Ready(bool sandboxed) {
  return StrCat(sandboxed ? "sandboxed" : "not sandboxed", " worker ", kVersion);
}

void Store(const RequestHead& head, std::uint8_t* bytes) {
  std::memcpy(bytes, kMagic.data(), kMagic.size());
  StoreLe32(bytes + 4, head.name_size);
  StoreLe32(bytes + 8, head.calls);
  StoreLe32(bytes + 12, head.files_per_call);
  StoreLe64(bytes + 16, head.arguments_size);
}

std::optional<RequestHead> LoadRequestHead(const std::uint8_t* bytes) {
  const RequestHead head{.name_size = LoadLe32(bytes + 4),
                         .calls = LoadLe32(bytes + 8),
                         .files_per_call = LoadLe32(bytes + 12),
                         .arguments_size = LoadLe64(bytes + 16)};
  const bool sound =
      std::memcmp(bytes, kMagic.data(), kMagic.size()) == 0 && head.name_size <= kLongestName &&
      head.calls <= kMostDescriptors && head.files_per_call <= kMostDescriptors &&
      head.descriptors() <= kMostDescriptors && head.arguments_size <= kMostArgumentBytes;
  if (!sound) return std::nullopt;
  return head;
}

void AppendReply(const OrRefused<Bytes>& reply, Bytes* out) {
  const auto status =
      static_cast<std::uint32_t>(reply.ok() ? Refusal::kNone : reply.refused().reason);
  const ByteView body = reply.ok() ? ByteView(*reply) : AsBytes(reply.refused().detail);
  const std::size_t size = reply.ok() ? body.size() : std::min(body.size(), kLongestDetail);
  std::uint8_t head[kReplyHeadBytes];
  StoreLe32(head, status);
  StoreLe64(head + 4, size);
  out->insert(out->end(), head, head + sizeof head);
  out->insert(out->end(), body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size));
}

bool ReplyParser::Feed(ByteView bytes) {
  while (!bytes.empty()) {
    if (left_ == 0) return false;  // more than was asked for
    if (!in_body_ && !TakeHead(&bytes)) return false;
    if (in_body_) TakeBody(&bytes);
  }
  return true;
}

// False when the head is complete and not sound.
bool ReplyParser::TakeHead(ByteView* bytes) {
  const std::size_t taken = std::min(bytes->size(), kReplyHeadBytes - head_.size());
  head_.insert(head_.end(), bytes->begin(), bytes->begin() + static_cast<std::ptrdiff_t>(taken));
  *bytes = bytes->subspan(taken);
  if (head_.size() < kReplyHeadBytes) return true;
  const auto status = RefusalNumbered(LoadLe32(head_.data()));
  body_size_ = LoadLe64(head_.data() + 4);
  head_.clear();
  if (!status) return false;
  status_ = *status;
  if (body_size_ > (status_ == Refusal::kNone ? largest_ : kLongestDetail)) return false;
  if (body_size_ > bytes_left_) return false;
  bytes_left_ -= body_size_;
  in_body_ = true;
  TakeBody(bytes);  // which may be empty, and then complete
  return true;
}

void ReplyParser::TakeBody(ByteView* bytes) {
  const auto taken =
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes->size(), body_size_ - body_.size()));
  body_.insert(body_.end(), bytes->begin(), bytes->begin() + static_cast<std::ptrdiff_t>(taken));
  *bytes = bytes->subspan(taken);
  if (body_.size() < body_size_) return;
  if (status_ == Refusal::kNone) {
    replies_.emplace_back(std::move(body_));
  } else {
    replies_.emplace_back(Refused{status_, Printable(body_)});
  }
  body_.clear();
  in_body_ = false;
  --left_;
}

}  // namespace consilium::datasets::worker
