#pragma once

// A coordinator in this process's memory for the agent's tests: scripted by the test, with a
// connection that breaks where the test wants it to.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/crypto/keys.h"
#include "common/model/model_state.h"
#include "common/wire/protocol.h"
#include "site_agent/coordinator_channel.h"

namespace consilium::site_agent {

class MemoryCoordinator final : public CoordinatorChannel {
 public:
  MemoryCoordinator(SiteId site, const crypto::X25519KeyPair& sealing);

  // ---- the site's side
  std::string Address() const override { return "memory:1"; }
  absl::StatusOr<std::unique_ptr<Session>> Attend(std::stop_token stop) override;
  absl::Status DownloadModel(const ModelId& model, std::span<const wire::ByteRange> ranges,
                             std::uint64_t offset, const ModelSink& sink,
                             std::stop_token stop) override;
  absl::StatusOr<UploadOutcome> Upload(const OutboxFile& update, std::uint32_t first_segment,
                                       std::stop_token stop) override;

  // ---- the test's side
  ModelId AddModel(const ModelState& model);
  void Send(wire::ToSite message);  // over the present connection
  void Disconnect();
  void SetAvailable(bool available);

  struct Received {
    wire::UploadHeader header;
    std::vector<float> values;          // opened
    std::vector<std::uint32_t> masked;  // of a masked update instead
    std::uint32_t segments = 0;
    bool complete = false;
  };
  // What was uploaded for the attempt so far.
  std::optional<Received> Contribution(const AttemptKey& key);

  // With an agent that the test drives itself: called, without a lock, before something is waited
  // for.
  std::function<void()> drive;
  bool HasMessage();  // for the site, over the present connection

  // Waits until a message of type M has come in since the last Await of that type. Fails the test
  // after five seconds.
  template <class M>
  M Await() {
    std::unique_lock lock(mutex_);
    std::optional<M> found;
    Wait(lock, [&] {
      for (auto it = messages_.begin(); it != messages_.end(); ++it) {
        if (const M* message = std::get_if<M>(&*it)) {
          found = *message;
          messages_.erase(it);
          return true;
        }
      }
      return false;
    });
    return *found;
  }
  void AwaitConnections(int count);
  void AwaitContribution(const AttemptKey& key);
  template <class M>
  int Pending() {
    return static_cast<int>(All<M>().size());
  }
  // That came in and were not awaited, in order.
  template <class M>
  std::vector<M> All() {
    const std::lock_guard lock(mutex_);
    std::vector<M> all;
    for (const auto& message : messages_) {
      if (const M* found = std::get_if<M>(&message)) all.push_back(*found);
    }
    return all;
  }

  // Knobs. Set before the agent runs, or while it waits.
  std::optional<std::uint32_t> break_upload_after;  // once: after so many segments
  int damaged_downloads = 0;                        // so many get one byte changed
  std::optional<std::uint64_t> break_download_at;   // once: after so many bytes
  wire::Welcome welcome;

  // What the test wants to see.
  int connections = 0;
  std::vector<std::uint32_t> upload_beginnings;    // first_segment of each call
  std::vector<std::uint64_t> download_beginnings;  // offset of each call
  std::vector<std::uint64_t> download_sizes;       // bytes that were sent in each call
  std::vector<Digest> uploads;                     // the whole file's hash, of each call

 private:
  friend class MemorySession;
  struct Line {  // one connection
    std::deque<wire::ToSite> messages;
    absl::Status ended;
  };
  void Wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& ready);
  absl::Status TakeSegment(const OutboxFile& update, std::uint32_t index, Received* received);

  const SiteId site_;
  crypto::X25519KeyPair key_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool available_ = true;
  std::shared_ptr<Line> line_;
  std::deque<wire::FromSite> messages_;
  std::map<ModelId, Bytes> models_;
  std::map<AttemptKey, Received> contributions_;
};

}  // namespace consilium::site_agent
