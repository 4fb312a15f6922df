#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace consilium::coordinator {

// The few threads in which calls do what may wait for the disk or takes time. A call has one piece
// of work here at a time, so that no site's calls crowd out another's, and what one call sends is
// taken in its order.
class ServiceWorkers {
 public:
  explicit ServiceWorkers(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~ServiceWorkers() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      came_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  // From any thread, also from a worker. In the order of the calls, several at a time.
  void Do(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    came_.notify_one();
  }

 private:
  // Ends when all that was asked for is done.
  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      came_.wait(lock, [this] { return stopping_ || !work_.empty(); });
      if (work_.empty()) return;
      {
        const std::function<void()> work = std::move(work_.front());
        work_.pop_front();
        lock.unlock();
        work();
      }
      lock.lock();
    }
  }

  std::mutex mutex_;  // the next three
  std::condition_variable came_;
  std::deque<std::function<void()>> work_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// The work of one call: one piece at a time, in its order, and between two of them the workers turn
// to other calls. Thread-safe; may go while its work is under way, which is then still done.
class Strand {
 public:
  explicit Strand(ServiceWorkers& workers) : queue_(std::make_shared<Queue>(workers)) {}
  void Do(std::function<void()> work) {
    const std::lock_guard lock(queue_->mutex);
    queue_->work.push_back(std::move(work));
    if (std::exchange(queue_->running, true)) return;
    queue_->workers.Do([queue = queue_] { Run(queue); });
  }

 private:
  struct Queue {
    explicit Queue(ServiceWorkers& w) : workers(w) {}
    ServiceWorkers& workers;
    std::mutex mutex;  // the next two
    std::deque<std::function<void()>> work;
    bool running = false;
  };
  static void Run(const std::shared_ptr<Queue>& queue) {
    std::unique_lock lock(queue->mutex);
    {
      const std::function<void()> work = std::move(queue->work.front());
      queue->work.pop_front();
      lock.unlock();
      work();
    }
    lock.lock();
    queue->running = !queue->work.empty();
    if (queue->running) queue->workers.Do([queue] { Run(queue); });
  }

  const std::shared_ptr<Queue> queue_;  // shared with the work under way
};

}  // namespace consilium::coordinator
