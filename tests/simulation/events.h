#pragma once

// What is to happen, by simulated time; at the same time in the order in which it was planned.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/clock.h"

namespace consilium::simulation {

class EventQueue {
 public:
  explicit EventQueue(Time start) : now_(start) {}

  Time now() const { return now_; }
  void At(Time time, std::function<void()> what) {
    heap_.push_back({std::max(time, now_), next_++, std::move(what)});
    std::push_heap(heap_.begin(), heap_.end(), Later());
  }
  void After(Duration wait, std::function<void()> what) { At(now_ + wait, std::move(what)); }

  // Makes it the time of the next event, and does it. False: there is none, or only after `until`.
  bool DoNext(Time until) {
    if (heap_.empty() || heap_.front().time > until) return false;
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    Entry next = std::move(heap_.back());
    heap_.pop_back();
    now_ = next.time;
    ++done_;
    next.what();
    return true;
  }
  std::uint64_t done() const { return done_; }

 private:
  struct Entry {
    Time time;
    std::uint64_t number;
    std::function<void()> what;
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      return a.time != b.time ? a.time > b.time : a.number > b.number;
    }
  };
  Time now_;
  std::uint64_t next_ = 0, done_ = 0;
  std::vector<Entry> heap_;
};

// A machine's own idea of the time: the simulation's, and how far off it is.
class MachineClock final : public Clock {
 public:
  explicit MachineClock(const EventQueue& events) : events_(events) {}
  Time Now() const override { return events_.now() + offset_; }
  void Jump(Duration by) { offset_ += by; }
  Duration offset() const { return offset_; }

 private:
  const EventQueue& events_;
  Duration offset_{};
};

}  // namespace consilium::simulation
