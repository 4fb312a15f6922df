#include "tests/simulation/sequence_diagram.h"

#include <algorithm>
#include <set>

#include "common/base/text.h"

namespace consilium::simulation {
namespace {

// Of the trace, what tells no story.
bool Tells(const TraceLine& line) {
  static const std::set<std::string> kQuiet = {"ledger", "audit log"};
  static const std::set<std::string> kSilent = {"hello", "welcome",       "roster",
                                                "log",   "signs the log", "progress"};
  return !kQuiet.contains(line.from) && !kSilent.contains(line.text);
}

// Mermaid ends a message at a semicolon and takes # for an entity.
std::string Clean(std::string text) {
  std::replace(text.begin(), text.end(), ';', ',');
  std::replace(text.begin(), text.end(), '#', ' ');
  return text;
}

}  // namespace

std::string ToMermaid(const std::vector<TraceLine>& lines) {
  std::vector<std::string> participants = {"coordinator"};
  const auto take = [&](const std::string& name) {
    if (std::find(participants.begin(), participants.end(), name) == participants.end()) {
      participants.push_back(name);
    }
  };
  std::string body;
  for (const TraceLine& line : lines) {
    if (!Tells(line)) continue;
    take(line.from);
    take(line.to);
    if (line.from == line.to) {
      StrAppend(&body, "  Note over ", line.from, ": ", Clean(line.text), "\n");
    } else {
      StrAppend(&body, "  ", line.from, "->>", line.to, ": ", Clean(line.text), "\n");
    }
  }
  std::string diagram = "sequenceDiagram\n";
  for (const std::string& name : participants) StrAppend(&diagram, "  participant ", name, "\n");
  return diagram + body;
}

}  // namespace consilium::simulation
