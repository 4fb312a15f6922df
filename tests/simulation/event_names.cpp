#include "tests/simulation/event_names.h"

#include <array>

namespace consilium::simulation {

std::string_view NameOf(wire::RunEventKind kind) {
  static constexpr std::array<std::string_view, 26> kNames = {"",
                                                              "submitted",
                                                              "site invited",
                                                              "site accepted",
                                                              "site declined",
                                                              "waiting",
                                                              "round opened",
                                                              "task sent",
                                                              "progress",
                                                              "update received",
                                                              "contribution lost",
                                                              "aggregated",
                                                              "site evaluated",
                                                              "round evaluated",
                                                              "round failed",
                                                              "stopping",
                                                              "final evaluation",
                                                              "gate passed",
                                                              "gate failed",
                                                              "published",
                                                              "ended",
                                                              "site connected",
                                                              "site disconnected",
                                                              "restarted",
                                                              "secure step",
                                                              "trained"};
  const auto index = static_cast<std::size_t>(kind);
  return index < kNames.size() ? kNames[index] : "another event";
}

}  // namespace consilium::simulation
