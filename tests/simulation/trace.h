#pragma once

// What happened in a simulation, in order: always as a hash, so that two runs can be compared; as
// lines of text only when somebody wants to read them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/text.h"

namespace consilium::simulation {

// One arrow, or (from == to) a note, of the sequence diagram.
struct TraceLine {
  double seconds = 0;
  std::string from, to, text;
};

class Trace {
 public:
  enum class Keep { kHash, kLines };
  explicit Trace(Keep keep, bool print = false) : keep_(keep), print_(print) {}

  bool keeps_lines() const { return keep_ == Keep::kLines; }
  std::uint64_t hash() const { return hash_; }
  const std::vector<TraceLine>& lines() const { return lines_; }
  std::vector<std::string> Last(std::size_t count) const;

  // `from` tells `to`; the pieces are put together only when lines are kept.
  template <class... Pieces>
  void Arrow(double seconds, std::string_view from, std::string_view to, std::string_view what,
             const Pieces&... pieces) {
    Mix(seconds, from, to, what);
    if (keeps_lines()) Add({seconds, std::string(from), std::string(to), StrCat(what, pieces...)});
  }
  template <class... Pieces>
  void Note(double seconds, std::string_view who, std::string_view what, const Pieces&... pieces) {
    Arrow(seconds, who, who, what, pieces...);
  }

 private:
  void Mix(double seconds, std::string_view from, std::string_view to, std::string_view what);
  void Add(TraceLine line);

  const Keep keep_;
  const bool print_;
  std::uint64_t hash_ = 0xcbf29ce484222325;
  std::vector<TraceLine> lines_;
};

std::string ToText(const TraceLine& line);

}  // namespace consilium::simulation
