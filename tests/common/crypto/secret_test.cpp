#include "common/crypto/secret.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <type_traits>

#include "tests/catch.h"

namespace {

// What the heap gets back: the block that is watched is looked at just before it is freed.
std::atomic<const void*> watched_block{nullptr};
std::atomic<std::size_t> watched_bytes{0};
std::atomic<int> watched_nonzero{-1};  // -1 until the block is freed

void Free(void* block) noexcept {
  if (block != nullptr && block == watched_block.load()) {
    const auto* bytes = static_cast<const unsigned char*>(block);
    watched_nonzero = static_cast<int>(
        std::count_if(bytes, bytes + watched_bytes.load(), [](unsigned char b) { return b != 0; }));
    watched_block = nullptr;
  }
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) {
  if (void* block = std::malloc(size > 0 ? size : 1)) return block;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size > 0 ? size : 1);
}
void operator delete(void* block) noexcept { Free(block); }
void operator delete(void* block, std::size_t) noexcept { Free(block); }

namespace consilium::crypto {
namespace {

void Watch(const Secret& secret) {
  watched_nonzero = -1;
  watched_bytes = secret.size();
  watched_block = secret.Reveal().data();
}

TEST_CASE("A secret's memory is zero when the heap gets it back") {
  const Bytes ones(64, 1);
  {
    const Secret gone = Secret::CopyOf(ones);
    Watch(gone);
  }
  CHECK(watched_nonzero == 0);
  {
    Secret overwritten = Secret::CopyOf(ones);
    Watch(overwritten);
    overwritten = Secret::CopyOf(AsBytes("new"));
    CHECK(watched_nonzero == 0);
  }
  {
    Secret source = Secret::CopyOf(ones);
    Watch(source);
    const Secret moved = std::move(source);
    CHECK(watched_nonzero == -1);  // the same memory, not a copy that is left behind
  }
  CHECK(watched_nonzero == 0);
}

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(std::is_nothrow_move_constructible_v<Secret> &&
              std::is_nothrow_move_assignable_v<Secret>);

TEST_CASE("A secret moves, and what it moved from is empty") {
  Secret first = Secret::CopyOf(AsBytes("a key"));
  Secret second = std::move(first);
  CHECK(first.size() == 0);
  CHECK(second.Equals(AsBytes("a key")));
  Secret third = Secret::CopyOf(AsBytes("another, longer key"));
  third = std::move(second);
  CHECK(second.size() == 0);
  CHECK(third.Equals(AsBytes("a key")));
  Secret& same = third;
  third = std::move(same);
  CHECK(third.Equals(AsBytes("a key")));
}

TEST_CASE("Secrets are equal when every byte and the length are") {
  const Secret secret = Secret::CopyOf(AsBytes("abc"));
  CHECK(secret.Equals(AsBytes("abc")));
  CHECK_FALSE(secret.Equals(AsBytes("abd")));
  CHECK_FALSE(secret.Equals(AsBytes("ab")));
  CHECK_FALSE(secret.Equals(AsBytes("abcd")));
  CHECK_FALSE(secret.Equals({}));
  CHECK(Secret().Equals({}));
  CHECK(Secret(3).Equals(Bytes(3, 0)));
}

}  // namespace
}  // namespace consilium::crypto
