#include "common/wire/run_event_name.h"

#include <cstddef>
#include <iterator>

namespace consilium::wire {

std::string_view Name(RunEventKind kind) {
  static constexpr std::string_view kNames[] = {"",
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
                                                "trained",
                                                "described",
                                                "prepared"};
  const auto index = static_cast<std::size_t>(kind);
  return index < std::size(kNames) ? kNames[index] : "";
}

}  // namespace consilium::wire
