#pragma once

#include <atomic>
#include <chrono>
#include <string>

namespace consilium {

using Time = std::chrono::sys_time<std::chrono::microseconds>;
using Duration = std::chrono::microseconds;

inline double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline Duration FromSeconds(double s) {
  return Duration(static_cast<Duration::rep>(s * 1e6));
}

// Where every part of Consilium takes its time from. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  Time Now() const override;
};

// Stands still until it is told to move: for tests and simulation.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = Time{}) : now_(start) {}
  Time Now() const override { return now_.load(); }
  void Advance(Duration d) { now_.store(now_.load() + d); }

 private:
  std::atomic<Time> now_;
};

// "2026-03-01T12:00:00Z", UTC, to the second (RFC 3339).
std::string ToRfc3339(Time time);

// "1.2 s", "3 min 20 s", "2 h 5 min": for people.
std::string ToReadable(Duration d);

}  // namespace consilium
