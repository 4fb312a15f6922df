#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "common/crypto/sha256.h"

namespace consilium::fuzz {

void Broken(const char* file, int line, const char* property) {
  std::fprintf(stderr, "%s:%d: broken property: %s\n", file, line, property);
  std::abort();
}

std::uint8_t Cursor::Byte() {
  const ByteView byte = Take(1);
  return byte.empty() ? 0 : byte[0];
}

std::uint32_t Cursor::Number32() { return static_cast<std::uint32_t>(Number(4)); }

std::uint64_t Cursor::Number64() { return Number(8); }

std::uint64_t Cursor::Number(int bytes) {
  std::uint64_t number = 0;
  for (int i = 0; i < bytes; ++i) number |= std::uint64_t{Byte()} << 8 * i;
  return number;
}

ByteView Cursor::Take(std::size_t count) {
  const ByteView taken = rest_.first(std::min(count, rest_.size()));
  rest_ = rest_.subspan(taken.size());
  return taken;
}

namespace {

struct RemovedAtExit {
  fs::path path;
  ~RemovedAtExit() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

RemovedAtExit MakeScratchFolder() {
  const fs::path memory = "/dev/shm";
  const fs::path parent = access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
  std::string name = (parent / "consilium-fuzz-XXXXXX").string();
  FUZZ_EXPECT(mkdtemp(name.data()) != nullptr);
  return {name};
}

}  // namespace

const fs::path& ScratchFolder() {
  static const RemovedAtExit folder = MakeScratchFolder();
  return folder.path;
}

fs::path Scratch(std::string_view name, ByteView content) {
  const fs::path path = ScratchFolder() / name;
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  FUZZ_EXPECT(fd >= 0);
  FUZZ_EXPECT(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  close(fd);
  return path;
}

Bytes PrivateKeyOf(std::string_view name) {
  const Digest digest = crypto::Sha256(name);
  return Bytes(digest.bytes.begin(), digest.bytes.end());
}

}  // namespace consilium::fuzz
