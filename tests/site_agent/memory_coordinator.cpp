#include "tests/site_agent/memory_coordinator.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/envelope.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "tests/site_agent/test_federation.h"

namespace consilium::site_agent {

class MemorySession final : public Session {
 public:
  MemorySession(MemoryCoordinator& coordinator, std::shared_ptr<MemoryCoordinator::Line> line,
                std::stop_token stop)
      : coordinator_(coordinator),
        line_(std::move(line)),
        on_stop_(std::move(stop), [this] { Close(); }) {}

  absl::StatusOr<wire::ToSite> Next() override {
    std::unique_lock lock(coordinator_.mutex_);
    coordinator_.changed_.wait(lock,
                               [this] { return !line_->ended.ok() || !line_->messages.empty(); });
    if (!line_->ended.ok()) return line_->ended;
    wire::ToSite message = std::move(line_->messages.front());
    line_->messages.pop_front();
    return message;
  }

  absl::Status Send(const wire::FromSite& message) override {
    const std::lock_guard lock(coordinator_.mutex_);
    if (!line_->ended.ok()) return line_->ended;
    if (std::holds_alternative<wire::Hello>(message)) {
      line_->messages.push_back(coordinator_.welcome);
      ++coordinator_.connections;
    } else {
      coordinator_.messages_.push_back(message);
    }
    coordinator_.changed_.notify_all();
    return absl::OkStatus();
  }

  void Close() override {
    const std::lock_guard lock(coordinator_.mutex_);
    if (line_->ended.ok()) line_->ended = absl::CancelledError("closed");
    coordinator_.changed_.notify_all();
  }

 private:
  MemoryCoordinator& coordinator_;
  const std::shared_ptr<MemoryCoordinator::Line> line_;
  std::stop_callback<std::function<void()>> on_stop_;
};

MemoryCoordinator::MemoryCoordinator(SiteId site, const crypto::X25519KeyPair& sealing)
    : site_(std::move(site)),
      key_(*crypto::X25519KeyPair::FromPrivate(sealing.private_key.Reveal())) {
  welcome = {kVersion, kProtocolVersion, kFederation, site_, key_.public_key};
}

absl::StatusOr<std::unique_ptr<Session>> MemoryCoordinator::Attend(std::stop_token stop) {
  auto line = std::make_shared<Line>();
  {
    const std::lock_guard lock(mutex_);
    if (!available_) return absl::UnavailableError("nobody answers");
    line_ = line;
  }
  return std::make_unique<MemorySession>(*this, line, std::move(stop));
}

absl::Status MemoryCoordinator::DownloadModel(const ModelId& model,
                                              std::span<const wire::ByteRange> ranges,
                                              std::uint64_t offset, const ModelSink& sink,
                                              std::stop_token) {
  std::unique_lock lock(mutex_);
  const auto found = models_.find(model);
  if (found == models_.end()) return absl::NotFoundError("no such model");
  download_beginnings.push_back(offset);
  std::uint64_t& sent = download_sizes.emplace_back(0);
  Bytes bytes = found->second;
  if (damaged_downloads > 0) {
    --damaged_downloads;
    bytes.back() ^= 1;
  }
  const auto broken_at = std::exchange(break_download_at, std::nullopt);
  lock.unlock();
  constexpr std::uint64_t kPiece = 50'000;
  ASSIGN_OR_RETURN(auto wanted, wire::WantedBytes::Of(ranges, bytes.size(), offset));
  const std::uint64_t end = broken_at.value_or(wanted.total());
  for (std::uint64_t at = offset; at < end && !wanted.AtEnd();) {
    const std::uint64_t count = std::min({kPiece, end - at, wanted.Next().size});
    RETURN_IF_ERROR(sink(ByteView(bytes).subspan(wanted.Next().begin, count), wanted.total()));
    sent += count;
    wanted.Advance(count);
    at += count;
  }
  return broken_at ? absl::UnavailableError("the connection broke") : absl::OkStatus();
}

absl::Status MemoryCoordinator::TakeSegment(const OutboxFile& update, std::uint32_t index,
                                            Received* received) {
  const wire::UploadHeader& header = received->header;
  const OutboxFile::Segment segment = update.SegmentAt(index);
  Bytes bytes(segment.end - segment.begin);
  RETURN_IF_ERROR(update.file().ReadAt(segment.begin, bytes));
  const bool last = index + 1 == update.SegmentCount();
  if (header.kind == wire::ContributionKind::kMaskedUpdate) {
    for (std::size_t at = 0; at < bytes.size(); at += 4) {
      received->masked.push_back(LoadLe32(bytes.data() + at));
    }
  } else {
    ASSIGN_OR_RETURN(auto opener,
                     crypto::EnvelopeOpener::Create(key_, header.envelope_header,
                                                    wire::EnvelopeContext(site_, header)));
    Bytes plaintext(bytes.size() - crypto::kTagBytes);
    RETURN_IF_ERROR(opener.Open(index, last, bytes, plaintext));
    const std::size_t before = received->values.size();
    received->values.resize(before + plaintext.size() / sizeof(float));
    std::memcpy(received->values.data() + before, plaintext.data(), plaintext.size());
  }
  ++received->segments;
  received->complete = last;
  return absl::OkStatus();
}

absl::StatusOr<UploadOutcome> MemoryCoordinator::Upload(const OutboxFile& update,
                                                        std::uint32_t first_segment,
                                                        std::stop_token) {
  const std::lock_guard lock(mutex_);
  upload_beginnings.push_back(first_segment);
  uploads.push_back(update.sha256());
  if (!available_) return absl::UnavailableError("nobody answers");
  Received& received = contributions_[update.header().key];
  if (received.header.envelope_header != update.header().envelope_header ||
      !(received.header.proof == update.header().proof)) {
    received = {update.header()};
  }
  if (first_segment != received.segments) return UploadOutcome{received.segments};
  while (received.segments < update.SegmentCount()) {
    if (break_upload_after && received.segments == *break_upload_after) {
      break_upload_after.reset();
      return absl::UnavailableError("the connection broke");
    }
    RETURN_IF_ERROR(TakeSegment(update, received.segments, &received));
  }
  changed_.notify_all();
  return UploadOutcome{};
}

ModelId MemoryCoordinator::AddModel(const ModelState& model) {
  Bytes bytes;
  const std::string header = WriteSafetensorsHeader(model.layout());
  bytes.assign(header.begin(), header.end());
  const auto* values = reinterpret_cast<const std::uint8_t*>(model.values().data());
  bytes.insert(bytes.end(), values, values + model.values().size_bytes());
  const ModelId id = crypto::Sha256(ByteView(bytes));
  const std::lock_guard lock(mutex_);
  models_[id] = std::move(bytes);
  return id;
}

void MemoryCoordinator::Send(wire::ToSite message) {
  const std::lock_guard lock(mutex_);
  line_->messages.push_back(std::move(message));
  changed_.notify_all();
}

bool MemoryCoordinator::HasMessage() {
  const std::lock_guard lock(mutex_);
  return line_ != nullptr && line_->ended.ok() && !line_->messages.empty();
}

void MemoryCoordinator::Disconnect() {
  const std::lock_guard lock(mutex_);
  if (line_ != nullptr) line_->ended = absl::UnavailableError("the connection broke");
  changed_.notify_all();
}

void MemoryCoordinator::SetAvailable(bool available) {
  const std::lock_guard lock(mutex_);
  available_ = available;
}

std::optional<MemoryCoordinator::Received> MemoryCoordinator::Contribution(const AttemptKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = contributions_.find(key);
  if (found == contributions_.end()) return std::nullopt;
  return found->second;
}

void MemoryCoordinator::AwaitConnections(int count) {
  std::unique_lock lock(mutex_);
  Wait(lock, [&] { return connections >= count; });
}

void MemoryCoordinator::AwaitContribution(const AttemptKey& key) {
  std::unique_lock lock(mutex_);
  Wait(lock, [&] { return contributions_.contains(key) && contributions_.at(key).complete; });
}

void MemoryCoordinator::Wait(std::unique_lock<std::mutex>& lock,
                             const std::function<bool()>& ready) {
  if (drive) {
    lock.unlock();
    drive();
    lock.lock();
  }
  if (!changed_.wait_for(lock, std::chrono::seconds(5), ready)) {
    throw std::runtime_error("what the test waits for did not happen within 5 s");
  }
}

}  // namespace consilium::site_agent
