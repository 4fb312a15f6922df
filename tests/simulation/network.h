#pragma once

// The network between the sites and the coordinator, and what gRPC and coordinator/service.cpp do
// in production. Messages travel as bytes of the real codecs. A connection keeps the order of what
// it carries (TCP), and what is damaged on the way breaks it (TLS); different connections, old and
// new, overtake each other.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/wire/protocol.h"
#include "coordinator/site_queue.h"
#include "site_agent/coordinator_channel.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {

// A site's standing connection.
struct Line {
  std::uint64_t number = 0;
  SiteMachine* site = nullptr;
  bool site_open = true, coordinator_open = false;
  bool attended = false;                          // Hello was taken
  std::uint64_t server_life = 0;                  // of the coordinator's process that took it
  std::shared_ptr<coordinator::SiteQueue> queue;  // shared: with the conductor
  Time up{}, down{};                              // when the last message arrives
};

class Network {
 public:
  explicit Network(World& world) : world_(world) {}

  // ---- a site's side
  std::shared_ptr<Line> Dial(SiteMachine& site);
  absl::Status SendUp(const std::shared_ptr<Line>& line, const wire::FromSite& message);
  void CloseBySite(const std::shared_ptr<Line>& line);
  // Of a process that was killed (the kernel closes what it had), or a machine without power.
  void SiteGone(const std::shared_ptr<Line>& line, CrashKind kind);
  absl::StatusOr<site_agent::UploadOutcome> Upload(SiteMachine& site,
                                                   const site_agent::OutboxFile& update,
                                                   std::uint32_t first_segment,
                                                   const std::stop_token& stop);
  absl::Status Download(SiteMachine& site, const ModelId& model,
                        std::span<const wire::ByteRange> ranges, std::uint64_t offset,
                        const site_agent::ModelSink& sink, const std::stop_token& stop);

  // ---- the coordinator's side
  void PumpQueues();
  void CoordinatorGone(CrashKind kind);

  // ---- the weather's, and scenarios'
  void Silence(SiteMachine& site, Duration how_long);  // a black hole
  void Cut(SiteMachine& site);
  void HoldDown(const SiteId& site, bool down);  // nobody gets through
  // Asked at every segment of an upload and every piece of a download: true cuts it.
  std::function<bool(const SiteId&, std::string_view what)> cut_when;
  // May lose a message to a site or of one, with the connection: true cuts it.
  std::function<bool(const SiteId&, std::string_view what)> cut_message;

 private:
  struct Silent {
    Time begun{}, until{};
  };
  Time ArrivesAt(const SiteMachine& site, Time after);
  bool SilentFor(const SiteMachine& site) const;
  bool Down(const SiteMachine& site) const;
  void ArriveUp(const std::shared_ptr<Line>& line, const wire::FromSite& message);
  absl::Status Attend(const std::shared_ptr<Line>& line, const wire::Hello& hello);
  void SendDown(const std::shared_ptr<Line>& line, const wire::ToSite& message);
  void BreakAtSite(const std::shared_ptr<Line>& line, const absl::Status& why, Duration after);
  void BreakAtCoordinator(const std::shared_ptr<Line>& line, Duration after);
  bool MessageFaults(const std::shared_ptr<Line>& line, std::string_view what);
  // One way of a call. Not OK: the call broke.
  absl::Status Travel(SiteMachine& site, const std::stop_token& stop);
  absl::Status CheckMember(const SiteMachine& site);

  World& world_;
  std::uint64_t lines_made_ = 0, calls_made_ = 0;
  std::set<std::shared_ptr<Line>> lines_;  // that the coordinator has open
  std::map<const SiteMachine*, Silent> silent_;
  std::set<SiteId> down_;
};

// "invite answer", "train request"
std::string_view NameOf(const wire::FromSite& message);
std::string_view NameOf(const wire::ToSite& message);

}  // namespace consilium::simulation
