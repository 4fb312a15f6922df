#include "tests/simulation/trace.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "common/base/random.h"

namespace consilium::simulation {

void Trace::Mix(double seconds, std::string_view from, std::string_view to, std::string_view what) {
  const auto mix = [&](std::uint64_t value) {
    hash_ = (hash_ ^ value) * 0x100000001b3;
    hash_ ^= hash_ >> 29;
  };
  mix(std::bit_cast<std::uint64_t>(seconds));
  mix(StableHash(from));
  mix(StableHash(to));
  mix(StableHash(what));
}

void Trace::Add(TraceLine line) {
  if (print_) std::fprintf(stderr, "%s\n", ToText(line).c_str());
  lines_.push_back(std::move(line));
}

std::vector<std::string> Trace::Last(std::size_t count) const {
  std::vector<std::string> last;
  for (std::size_t i = lines_.size() - std::min(count, lines_.size()); i < lines_.size(); ++i) {
    last.push_back(ToText(lines_[i]));
  }
  return last;
}

std::string ToText(const TraceLine& line) {
  char time[32];
  std::snprintf(time, sizeof time, "%10.3f  ", line.seconds);
  if (line.from == line.to) return StrCat(time, line.from, ": ", line.text);
  return StrCat(time, line.from, " -> ", line.to, ": ", line.text);
}

}  // namespace consilium::simulation
