#pragma once

// What a pool and its workers say to each other over a Unix stream socket. Integers are little
// endian.
//
//   request = "CWRQ" name size(4) calls(4) files a call(4) arguments size(8), with the descriptors;
//             name, arguments
//   reply   = status(4) size(8) bytes, one for each call, in order
//   status  = 0: the bytes are the result; else a Refusal, and they are its detail
//
// Descriptors come with the request's head, kDescriptorsTogether at a time: those that the head has
// no room for with one byte (0) each time after it. When it is ready, and before anything is asked,
// a worker says so: a reply of kReady, or a refusal whose detail says why it cannot work.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "datasets/refusal.h"

namespace consilium::datasets::worker {

inline constexpr std::uint32_t kMostDescriptors = 2048;  // of one request
inline constexpr std::uint32_t kDescriptorsTogether = 128;
inline constexpr std::uint32_t kLongestName = 64;
inline constexpr std::uint64_t kMostArgumentBytes = 256ull << 20;
inline constexpr std::uint64_t kMostReplyBytes = 64ull << 20;
inline constexpr std::uint64_t kLongestDetail = 1024;
inline constexpr std::size_t kRequestHeadBytes = 24, kReplyHeadBytes = 12;

// How a worker ends that was refused memory; all else is told by its signal.
inline constexpr int kOutOfMemoryExit = 77;

// "sandboxed" or not, and the version: what a worker's first reply must be.
std::string Ready(bool sandboxed);

struct RequestHead {
  std::uint32_t name_size = 0, calls = 0, files_per_call = 0;
  std::uint64_t arguments_size = 0;
  std::uint32_t descriptors() const { return calls * files_per_call; }
};
void Store(const RequestHead& head, std::uint8_t* bytes);  // kRequestHeadBytes of them
// Nothing when it is not sound.
std::optional<RequestHead> LoadRequestHead(const std::uint8_t* bytes);

void AppendReply(const OrRefused<Bytes>& reply, Bytes* out);

// Takes replies apart as their bytes arrive. They come from a process that a hostile file may have
// taken over: sizes are bounded, memory grows as bytes come and not as they are announced, and a
// detail is printable.
class ReplyParser {
 public:
  // At most `replies`, each of at most `largest` bytes, and together kMostReplyBytes when that is
  // more.
  ReplyParser(std::size_t replies, std::uint64_t largest)
      : left_(replies), largest_(largest), bytes_left_(std::max(largest, kMostReplyBytes)) {}

  // False when the bytes keep to no protocol: nothing more is to be taken from there.
  bool Feed(ByteView bytes);
  bool Complete() const { return left_ == 0 && head_.empty() && !in_body_; }
  // Those that are complete.
  std::vector<OrRefused<Bytes>>& replies() { return replies_; }

 private:
  bool TakeHead(ByteView* bytes);
  void TakeBody(ByteView* bytes);
  std::size_t left_;  // not complete yet
  const std::uint64_t largest_;
  std::uint64_t bytes_left_;
  Bytes head_;  // as far as it has come
  bool in_body_ = false;
  Refusal status_ = Refusal::kNone;
  std::uint64_t body_size_ = 0;
  Bytes body_;
  std::vector<OrRefused<Bytes>> replies_;
};

}  // namespace consilium::datasets::worker
