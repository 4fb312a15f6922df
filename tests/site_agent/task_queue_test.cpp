#include "site_agent/task_queue.h"

#include "tests/catch.h"

namespace consilium::site_agent {
namespace {

const RunId kRun("small-0001");
const Time kNow = Time(std::chrono::hours(24 * 365 * 55));
constexpr Duration kFirstWait = std::chrono::seconds(1), kLongestWait = std::chrono::seconds(8);

wire::TrainRequest Training(std::uint32_t round, std::uint32_t attempt = 1) {
  wire::TrainRequest request{{kRun, round, attempt}, Digest{{1}}, 7};
  request.secure.emplace();
  request.secure->key = {request.key, secagg::Purpose::kTraining};
  return request;
}

TEST_CASE("a task that is to be tried again waits longer each time, up to the longest wait") {
  TaskQueue queue(kFirstWait, kLongestWait, 1);
  queue.Add(Training(1), kNow);
  Time now = kNow;
  std::vector<double> waits;
  for (int i = 0; i < 6; ++i) {
    REQUIRE(queue.Take(now));
    queue.Finish(TaskOutcome::kTryLater, now);
    REQUIRE(queue.Next());
    waits.push_back(Seconds(*queue.Next() - now));
    CHECK_FALSE(queue.Take(now));
    now = *queue.Next();
  }
  for (std::size_t i = 0; i < waits.size(); ++i) {
    const double most = std::min(8.0, static_cast<double>(1 << i));
    CHECK(waits[i] <= most);
    CHECK(waits[i] >= most / 2);
  }
  SECTION("and is ready over a new connection, and waits as at first from then on") {
    REQUIRE(queue.Take(now));
    queue.Finish(TaskOutcome::kTryLater, now);
    queue.TryAgain(now);
    REQUIRE(queue.Take(now));
    queue.Finish(TaskOutcome::kTryLater, now);
    CHECK(*queue.Next() - now <= kFirstWait);
  }
  SECTION("also when the connection was made during the try") {
    REQUIRE(queue.Take(now));
    queue.TryAgain(now);
    queue.Finish(TaskOutcome::kTryLater, now);
    CHECK(queue.Take(now));
  }
}

TEST_CASE("a task that waits for shares is ready when they come, or when it is asked for again") {
  TaskQueue queue(kFirstWait, kLongestWait, 1);
  queue.Add(Training(1), kNow);
  REQUIRE(queue.Take(kNow));
  SECTION("they come afterwards") {
    queue.Finish(TaskOutcome::kAwaitsMasks, kNow);
    CHECK_FALSE(queue.Next());
    CHECK(queue.empty());
    CHECK_FALSE(queue.idle());
    queue.TakeMasks(Training(2).secure->key, kNow);  // another session's
    CHECK_FALSE(queue.Next());
    queue.TakeMasks(Training(1).secure->key, kNow);
    CHECK(queue.Take(kNow)->resumed);
  }
  SECTION("they came meanwhile") {
    queue.TakeMasks(Training(1).secure->key, kNow);
    queue.Finish(TaskOutcome::kAwaitsMasks, kNow);
    CHECK(queue.Take(kNow));
  }
  SECTION("it is asked for again") {
    queue.Finish(TaskOutcome::kAwaitsMasks, kNow);
    queue.Add(Training(1), kNow);
    CHECK_FALSE(queue.Take(kNow)->resumed);
    queue.Finish(TaskOutcome::kEnded, kNow);
    CHECK(queue.idle());
  }
  SECTION("unless it is cancelled") {
    queue.Finish(TaskOutcome::kAwaitsMasks, kNow);
    queue.Cancel([](const Task& task) { return RunOf(task) == kRun; });
    queue.TakeMasks(Training(1).secure->key, kNow);
    CHECK_FALSE(queue.Take(kNow));
    CHECK(queue.idle());
  }
}

TEST_CASE("a pause stops the task, which is the first to be done afterwards") {
  TaskQueue queue(kFirstWait, kLongestWait, 1);
  queue.Add(Training(1), kNow);
  queue.Add(Training(2), kNow);
  const auto work = queue.Take(kNow);
  queue.Pause(true);
  CHECK(work->stop.stop_requested());
  queue.Finish(TaskOutcome::kEnded, kNow);
  CHECK_FALSE(queue.Take(kNow));
  CHECK_FALSE(queue.Next());
  queue.Pause(false);
  CHECK(AttemptOf(queue.Take(kNow)->task)->round == 1);
}

TEST_CASE("the same work is queued once, and what is cancelled is stopped and dropped") {
  TaskQueue queue(kFirstWait, kLongestWait, 1);
  queue.Add(Training(1), kNow);
  queue.Add(Training(1), kNow);
  queue.Add(SendSealed{{kRun, 1, 1}}, kNow);
  const auto work = queue.Take(kNow);
  queue.Add(Training(1), kNow);
  CHECK_FALSE(queue.Next());
  queue.Add(Training(2), kNow);
  queue.Cancel([](const Task&) { return true; });
  CHECK(work->stop.stop_requested());
  queue.Finish(TaskOutcome::kTryLater, kNow);
  CHECK(queue.idle());
}

}  // namespace
}  // namespace consilium::site_agent
