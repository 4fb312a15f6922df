#pragma once

// A call that can be put aside in its middle and gone on with later, on a stack of its own: how a
// site's upload waits for the simulated network while everybody else goes on. One thread; nothing
// runs but what Resume() runs.

#include <ucontext.h>

#include <functional>
#include <memory>

namespace consilium::simulation {

class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();  // it must have ended, or never begun

  // From outside: runs the body until its next Wait() or its end.
  void Resume();
  // From inside a body: back to who called Resume().
  static void Wait();
  static Fiber* current();  // null: outside

  bool done() const { return done_; }

 private:
  struct Stack;
  static void Begin();
  static std::unique_ptr<Stack> TakeStack();
  static void GiveStack(std::unique_ptr<Stack> stack);

  std::function<void()> body_;
  std::unique_ptr<Stack> stack_;
  ucontext_t context_{}, caller_{};
  Fiber* outer_ = nullptr;
  bool begun_ = false, done_ = false;
  void* sanitizer_stack_ = nullptr;
};

}  // namespace consilium::simulation
