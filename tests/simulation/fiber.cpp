#include "tests/simulation/fiber.h"

#include <sys/mman.h>

#include <utility>
#include <vector>

#include "common/base/status.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace consilium::simulation {
namespace {

constexpr std::size_t kStackBytes = 512 << 10;
constexpr std::size_t kGuardBytes = 4 << 10;

thread_local Fiber* running = nullptr;

// AddressSanitizer has to know on which stack the program is.
void Leave([[maybe_unused]] void** keep, [[maybe_unused]] const void* bottom,
           [[maybe_unused]] std::size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(keep, bottom, size);
#endif
}
void Arrive([[maybe_unused]] void* kept, [[maybe_unused]] const void** bottom,
            [[maybe_unused]] std::size_t* size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(kept, bottom, size);
#endif
}

thread_local const void* outer_bottom = nullptr;
thread_local std::size_t outer_size = 0;

}  // namespace

struct Fiber::Stack {
  Stack() {
    memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CONSILIUM_CHECK(memory != MAP_FAILED);
    CONSILIUM_CHECK(mprotect(memory, kGuardBytes, PROT_NONE) == 0);
  }
  ~Stack() { munmap(memory, kStackBytes); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  void* memory = nullptr;
};

namespace {
// Stacks are used again: making one is four system calls.
template <class Stack>
std::vector<std::unique_ptr<Stack>>& Pool() {
  static thread_local std::vector<std::unique_ptr<Stack>> pool;
  return pool;
}
}  // namespace

std::unique_ptr<Fiber::Stack> Fiber::TakeStack() {
  auto& pool = Pool<Stack>();
  if (pool.empty()) return std::make_unique<Stack>();
  auto stack = std::move(pool.back());
  pool.pop_back();
  return stack;
}

void Fiber::GiveStack(std::unique_ptr<Stack> stack) { Pool<Stack>().push_back(std::move(stack)); }

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), stack_(TakeStack()) {}

Fiber::~Fiber() {
  CONSILIUM_CHECK(done_ || !begun_);
  GiveStack(std::move(stack_));
}

Fiber* Fiber::current() { return running; }

void Fiber::Begin() {
  Fiber* self = running;
  Arrive(nullptr, &outer_bottom, &outer_size);
  self->body_();
  self->done_ = true;
  Leave(nullptr, outer_bottom, outer_size);
  swapcontext(&self->context_, &self->caller_);
}

void Fiber::Resume() {
  CONSILIUM_CHECK(!done_ && running != this);
  if (!std::exchange(begun_, true)) {
    CONSILIUM_CHECK(getcontext(&context_) == 0);
    context_.uc_stack.ss_sp = stack_->memory;
    context_.uc_stack.ss_size = kStackBytes;
    context_.uc_link = nullptr;
    makecontext(&context_, &Fiber::Begin, 0);
  }
  outer_ = std::exchange(running, this);
  void* kept = nullptr;
  Leave(&kept, stack_->memory, kStackBytes);
  swapcontext(&caller_, &context_);
  Arrive(kept, nullptr, nullptr);
  running = std::exchange(outer_, nullptr);
}

void Fiber::Wait() {
  Fiber* self = running;
  CONSILIUM_CHECK(self != nullptr);
  Leave(&self->sanitizer_stack_, outer_bottom, outer_size);
  swapcontext(&self->context_, &self->caller_);
  Arrive(self->sanitizer_stack_, &outer_bottom, &outer_size);
}

}  // namespace consilium::simulation
