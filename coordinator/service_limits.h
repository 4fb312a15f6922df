#pragma once

// What one member may have open at the service, and how long a call waits for a peer that does
// nothing.

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

namespace consilium::coordinator {

struct ServiceLimits {
  // Of one member (its TLS key), at once.
  int attends = 4;  // the newest replaces the one before; others are on their way out
  int downloads = 8;
  int uploads = 8;
  int watches = 16;
  // What a site may say on its standing connection: a burst, then so many a second.
  double messages = 500, messages_a_second = 50;
  // A site's first message, and the header of an upload, come within this.
  Duration opening = std::chrono::seconds(10);
  // A peer that takes nothing of what is sent to it, or sends no whole segment of its upload, for
  // this long is hung up on; it goes on where it was when it comes back.
  Duration stall = std::chrono::seconds(60);
  // A connection that has not shown its certificate and begun HTTP/2 by then is closed.
  Duration handshake = std::chrono::seconds(10);
  // One without any open call.
  Duration idle = std::chrono::seconds(60);
  // At once; 0: as many as the system gives files, less what the program itself needs. One address
  // may have half of them.
  int connections = 0;
};

enum class CallKind { kAttend, kDownload, kUpload, kWatch };

// The long calls that are open. Thread-safe.
//
// Claim: a member never has more calls of a kind open than its limit, and a call that waits for its
// peer longer than it may is ended within a second of that.
class OpenCalls {
  struct Entry;

 public:
  explicit OpenCalls(const ServiceLimits& limits);
  ~OpenCalls();  // all calls must be gone

  // An open call: counts until it goes.
  class Call {
   public:
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    // The peer is to act within `patience` from now on; else the call is ended with words that say
    // what it did not do: "it took nothing". Takes the place of what was awaited before.
    void Await(std::string_view what, Duration patience);
    void AwaitNothing();

   private:
    friend class OpenCalls;
    Call(OpenCalls& calls, std::list<Entry>::iterator entry) : calls_(calls), entry_(entry) {}
    OpenCalls& calls_;
    const std::list<Entry>::iterator entry_;
  };

  // `end`: hangs up, with the status as the reason; called from another thread, at most once, and
  // perhaps when the call is gone already; it must not wait. kResourceExhausted, with what to do,
  // when the member has as many already.
  absl::StatusOr<std::unique_ptr<Call>> Open(const std::string& member, const Digest& tls_key,
                                             CallKind kind, std::function<void(absl::Status)> end);
  const ServiceLimits& limits() const { return limits_; }
  // How many are open now.
  std::size_t size() const;
  // Returns when none is open any more.
  void WaitUntilNone();

 private:
  struct Entry {
    std::string member;
    std::pair<Digest, CallKind> slot;
    std::function<void(absl::Status)> end;
    std::string awaited;
    Duration patience{};
    std::optional<std::chrono::steady_clock::time_point> until;
  };
  int LimitOf(CallKind kind) const;
  void Watch();

  const ServiceLimits limits_;
  mutable std::mutex mutex_;  // all below
  std::condition_variable changed_, stop_;
  std::list<Entry> open_;
  std::map<std::pair<Digest, CallKind>, int> counts_;
  bool stopping_ = false;
  std::thread watching_;
};

// A bucket of tokens: how often a member may say something. Not thread-safe.
class MessageBudget {
 public:
  explicit MessageBudget(const ServiceLimits& limits)
      : limits_(limits), left_(limits.messages), counted_(std::chrono::steady_clock::now()) {}
  // False: it said more than it may.
  bool Spend();

 private:
  const ServiceLimits& limits_;
  double left_;
  std::chrono::steady_clock::time_point counted_;
};

}  // namespace consilium::coordinator
