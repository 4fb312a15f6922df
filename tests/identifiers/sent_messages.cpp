#include "tests/identifiers/sent_messages.h"

#include <fstream>
#include <string_view>

#include "tests/catch.h"

namespace consilium::identifiers {
namespace {

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// "50 52 49 'PRI'": the bytes, up to the quotation mark.
void AppendBytes(std::string_view dump, std::string* bytes) {
  for (std::size_t at = 0; at + 1 < dump.size() && dump[at] != '\''; at += 3) {
    const int high = Digit(dump[at]), low = Digit(dump[at + 1]);
    if (high < 0 || low < 0) return;
    *bytes += static_cast<char>(high << 4 | low);
  }
}

}  // namespace

std::map<std::string, std::string> RecordingEnvironment() {
  return {{"GRPC_VERBOSITY", "DEBUG"}, {"GRPC_TRACE", "secure_endpoint"}};
}

std::string SentAccordingTo(const fs::path& log) {
  constexpr std::string_view kMark = " WRITE 0x";
  std::ifstream file(log);
  REQUIRE(file.is_open());
  std::string sent, line;
  while (std::getline(file, line)) {
    const std::size_t at = line.find(kMark);
    if (at == std::string::npos) continue;
    const std::size_t dump = line.find(": ", at + kMark.size());
    if (dump != std::string::npos) AppendBytes(std::string_view(line).substr(dump + 2), &sent);
  }
  return sent;
}

}  // namespace consilium::identifiers
