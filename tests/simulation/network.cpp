#include "tests/simulation/network.h"

#include <algorithm>
#include <utility>

#include "common/base/overloaded.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/envelope.h"
#include "common/wire/consilium.pb.h"
#include "common/wire/convert.h"
#include "tests/simulation/coordinator_machine.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/site_machine.h"

namespace consilium::simulation {
namespace {

// gRPC gives a silent connection up after a ping every 30 s and 20 s of waiting for it.
constexpr Duration kKeepalive = std::chrono::seconds(50);
constexpr Duration kConnectTimeout = std::chrono::seconds(20);

absl::Status Unreachable() { return absl::UnavailableError("the coordinator cannot be reached"); }
absl::Status Broke() { return absl::UnavailableError("the connection broke"); }

// Through the codecs, as bytes.
template <class Proto, class Message>
Message Carried(const Message& message) {
  static thread_local Proto proto;
  static thread_local std::string bytes;
  proto.Clear();
  wire::ToProto(message, &proto);
  CONSILIUM_CHECK(proto.SerializeToString(&bytes));
  CONSILIUM_CHECK(proto.ParseFromString(bytes));
  auto carried = wire::FromProto(proto);
  if (!carried.ok()) {
    std::fprintf(stderr, "a message does not survive its codec: %s\n",
                 carried.status().ToString().c_str());
  }
  CONSILIUM_CHECK(carried.ok());
  return *std::move(carried);
}

}  // namespace

std::string_view NameOf(const wire::FromSite& message) {
  return std::visit(
      Overloaded{[](const wire::Hello&) -> std::string_view { return "hello"; },
                 [](const wire::InviteAnswer& m) -> std::string_view {
                   return m.accepted ? "accepts" : "declines";
                 },
                 [](const wire::TaskProgress&) -> std::string_view { return "progress"; },
                 [](const wire::TaskFailed&) -> std::string_view { return "task failed"; },
                 [](const wire::EvaluationReport&) -> std::string_view { return "evaluation"; },
                 [](const wire::LogSignature&) -> std::string_view { return "signs the log"; },
                 [](const wire::Trained&) -> std::string_view { return "trained"; },
                 [](const wire::SecureAnswer& m) -> std::string_view {
                   static constexpr std::string_view kNames[] = {
                       "advertises", "shares", "masked sums", "signs the survivors", "unmasks"};
                   return kNames[m.answer.index()];
                 }},
      message);
}

std::string_view NameOf(const wire::ToSite& message) {
  return std::visit(
      Overloaded{
          [](const wire::Welcome&) -> std::string_view { return "welcome"; },
          [](const wire::Invite&) -> std::string_view { return "invites"; },
          [](const wire::MakeInitialModel&) -> std::string_view {
            return "asks for the first model";
          },
          [](const wire::TrainRequest&) -> std::string_view { return "asks to train"; },
          [](const wire::EvaluateRequest&) -> std::string_view { return "asks to evaluate"; },
          [](const wire::DescribeRequest& m) -> std::string_view {
            return m.secure.key.purpose == secagg::Purpose::kPreparation ? "asks to prepare"
                                                                         : "asks for a description";
          },
          [](const wire::AttemptClosed& m) -> std::string_view {
            return m.counted ? "counted" : "not counted";
          },
          [](const wire::RunEnded&) -> std::string_view { return "run ended"; },
          [](const wire::RosterFile&) -> std::string_view { return "roster"; },
          [](const wire::LogExtension&) -> std::string_view { return "log"; },
          [](const wire::SecureNotice& m) -> std::string_view {
            static constexpr std::string_view kNames[] = {"members", "shares for it", "survivors",
                                                          "signatures"};
            return kNames[m.notice.index()];
          }},
      message);
}

// ---- delays and faults

bool Network::SilentFor(const SiteMachine& site) const {
  const auto found = silent_.find(&site);
  return found != silent_.end() && world_.events.now() < found->second.until;
}

bool Network::Down(const SiteMachine& site) const { return down_.contains(site.name()); }

Time Network::ArrivesAt(const SiteMachine& site, Time after) {
  Time arrives = world_.events.now() + world_.Delay();
  const auto found = silent_.find(&site);
  if (found != silent_.end()) arrives = std::max(arrives, found->second.until + world_.Delay());
  return std::max(arrives, after + Duration(1));
}

// What becomes of a connection over which something is sent: true, and it is not carried.
bool Network::MessageFaults(const std::shared_ptr<Line>& line, std::string_view what) {
  if (cut_message && cut_message(line->site->name(), what)) {
    BreakAtSite(line, Broke(), Duration(1));
    BreakAtCoordinator(line, Duration(1));
    return true;
  }
  const Weather& weather = world_.weather;
  if (world_.Strikes(weather.cut, Fault::kConnectionCut) ||
      world_.Strikes(weather.frame_corrupted, Fault::kFrameCorrupted)) {
    BreakAtSite(line, Broke(), world_.Delay());
    BreakAtCoordinator(line, world_.Delay());
    return true;
  }
  if (world_.Strikes(weather.half_open, Fault::kHalfOpen)) {
    if (world_.random.Chance(0.5)) {
      BreakAtSite(line, Broke(), world_.Delay());
      BreakAtCoordinator(line, kKeepalive);
    } else {
      BreakAtCoordinator(line, world_.Delay());
      BreakAtSite(line, Broke(), kKeepalive);
    }
    return true;
  }
  return false;
}

void Network::BreakAtSite(const std::shared_ptr<Line>& line, const absl::Status& why,
                          Duration after) {
  world_.events.After(after, [this, line, why] {
    if (!line->site_open) return;
    line->site_open = false;
    world_.trace.Note(world_.Now(), line->site->machine(), "connection broke");
    line->site->LineBroke(line, why);
  });
}

void Network::BreakAtCoordinator(const std::shared_ptr<Line>& line, Duration after) {
  world_.events.After(after, [this, line] {
    if (!line->coordinator_open) return;
    line->coordinator_open = false;
    lines_.erase(line);
    if (!world_.coordinator->alive() || line->server_life != world_.coordinator->life()) return;
    world_.trace.Note(world_.Now(), kCoordinatorMachine, "lost the connection of ",
                      line->site->machine());
    world_.coordinator->conductor().Disconnect(line->site->name(), line->queue);
    world_.coordinator->Wake();
  });
}

void Network::Silence(SiteMachine& site, Duration how_long) {
  const Time now = world_.events.now();
  silent_[&site] = {now, now + how_long};
  world_.trace.Note(world_.Now(), site.machine(), "no packet gets through for ", Seconds(how_long),
                    " s");
  const std::shared_ptr<Line> line = site.line();
  if (line == nullptr || how_long < kKeepalive) return;
  BreakAtSite(line, Broke(), kKeepalive);
  BreakAtCoordinator(line, kKeepalive + world_.Delay());
}

void Network::Cut(SiteMachine& site) {
  if (const std::shared_ptr<Line> line = site.line()) {
    BreakAtSite(line, Broke(), Duration(1));
    BreakAtCoordinator(line, Duration(1));
  }
}

void Network::HoldDown(const SiteId& site, bool down) {
  if (!down) {
    down_.erase(site);
    return;
  }
  down_.insert(site);
  Cut(world_.site(site));
}

// ---- the standing connection

std::shared_ptr<Line> Network::Dial(SiteMachine& site) {
  auto line = std::make_shared<Line>();
  line->number = ++lines_made_;
  line->site = &site;
  if (Down(site)) {
    BreakAtSite(line, Unreachable(), world_.Delay());
  } else if (SilentFor(site)) {
    BreakAtSite(line, Unreachable(), kConnectTimeout);
  } else if (!world_.coordinator->alive()) {
    BreakAtSite(line, Unreachable(), world_.Delay());
  }
  return line;
}

absl::Status Network::SendUp(const std::shared_ptr<Line>& line, const wire::FromSite& message) {
  SiteMachine& site = *line->site;
  if (!line->site_open || site.Dead()) return Broke();
  const std::string_view what = NameOf(message);
  world_.invariants->OnSent(site.name(), message);
  const auto* answer = std::get_if<wire::InviteAnswer>(&message);
  if (answer != nullptr && answer->accepted) world_.MayRefuse(site, answer->run);
  // It leaves the site: whether it arrives is the network's business.
  if (MessageFaults(line, what)) {
    world_.trace.Arrow(world_.Now(), site.machine(), kCoordinatorMachine, what, " (lost)");
    return absl::OkStatus();
  }
  line->up = ArrivesAt(site, line->up);
  world_.events.At(line->up, [this, line, carried = Carried<v1::FromSite>(message)] {
    ArriveUp(line, carried);
  });
  return absl::OkStatus();
}

void Network::ArriveUp(const std::shared_ptr<Line>& line, const wire::FromSite& message) {
  CoordinatorMachine& coordinator = *world_.coordinator;
  SiteMachine& site = *line->site;
  const std::string_view what = NameOf(message);
  if (!coordinator.alive() || (line->attended && line->server_life != coordinator.life())) {
    BreakAtSite(line, Unreachable(), world_.Delay());
    return;
  }
  if (!line->attended) {
    const auto* hello = std::get_if<wire::Hello>(&message);
    if (hello == nullptr || Down(site)) return;
    world_.trace.Arrow(world_.Now(), site.machine(), kCoordinatorMachine, what);
    const absl::Status attended = Attend(line, *hello);
    if (!attended.ok()) BreakAtSite(line, attended, world_.Delay());
    if (coordinator.Alive()) coordinator.Wake();
    return;
  }
  if (!line->coordinator_open) {
    // Read before the process noticed that the connection is over.
    if (!world_.Strikes(world_.weather.late_message, Fault::kLateMessage)) return;
  }
  world_.trace.Arrow(world_.Now(), site.machine(), kCoordinatorMachine, what,
                     line->coordinator_open ? "" : " (late, of an old connection)");
  if (!CheckMember(site).ok()) {
    BreakAtSite(line, absl::PermissionDeniedError("revoked"), world_.Delay());
    BreakAtCoordinator(line, Duration(1));
    return;
  }
  coordinator.conductor().Receive(site.name(), message);
  if (coordinator.Alive()) coordinator.Wake();
}

// As coordinator/caller.cpp answers.
absl::Status Network::CheckMember(const SiteMachine& site) {
  if (!site.revoked) return absl::OkStatus();
  return absl::PermissionDeniedError("this site's key is revoked");
}

// As coordinator/service.cpp begins a conversation.
absl::Status Network::Attend(const std::shared_ptr<Line>& line, const wire::Hello& hello) {
  CoordinatorMachine& coordinator = *world_.coordinator;
  RETURN_IF_ERROR(CheckMember(*line->site));
  CONSILIUM_CHECK(hello.protocol_version == kProtocolVersion);
  const identity::Identity site = FederationKeys::Get().IdentityOf(line->site->name());
  SendDown(line, wire::Welcome{kVersion, kProtocolVersion, kFederation, line->site->name(),
                               coordinator.authority().sealing_key().public_key});
  line->attended = line->coordinator_open = true;
  line->server_life = coordinator.life();
  line->queue = coordinator.conductor().Connect(line->site->name(), site.tls_key);
  lines_.insert(line);
  coordinator.conductor().Receive(line->site->name(), hello);
  return absl::OkStatus();
}

void Network::PumpQueues() {
  // In an order of their own, not that of their addresses.
  std::vector<std::shared_ptr<Line>> lines(lines_.begin(), lines_.end());
  std::sort(lines.begin(), lines.end(),
            [](const auto& a, const auto& b) { return a->number < b->number; });
  for (const std::shared_ptr<Line>& line : lines) {
    while (line->coordinator_open) {
      const auto message = line->queue->TryNext();
      if (!message) break;
      SendDown(line, *message);
    }
    if (line->coordinator_open && line->queue->closed()) {
      line->coordinator_open = false;
      lines_.erase(line);
      world_.coordinator->conductor().Disconnect(line->site->name(), line->queue);
      const absl::Status why = CheckMember(*line->site);
      BreakAtSite(line, why.ok() ? absl::UnavailableError("the coordinator ended the call") : why,
                  SilentFor(*line->site) ? kKeepalive : world_.Delay());
    }
  }
}

void Network::SendDown(const std::shared_ptr<Line>& line, const wire::ToSite& message) {
  const std::string_view what = NameOf(message);
  world_.invariants->OnTold(line->site->name(), message);
  if (MessageFaults(line, what)) {
    world_.trace.Arrow(world_.Now(), kCoordinatorMachine, line->site->machine(), what, " (lost)");
    return;
  }
  line->down = ArrivesAt(*line->site, line->down);
  world_.events.At(line->down, [this, line, what, carried = Carried<v1::ToSite>(message)] {
    if (!line->site_open) return;
    world_.trace.Arrow(world_.Now(), kCoordinatorMachine, line->site->machine(), what);
    line->site->Arrive(line, carried);
  });
}

void Network::CloseBySite(const std::shared_ptr<Line>& line) {
  if (!std::exchange(line->site_open, false)) return;
  BreakAtCoordinator(line, SilentFor(*line->site) ? kKeepalive : world_.Delay());
}

void Network::SiteGone(const std::shared_ptr<Line>& line, CrashKind kind) {
  line->site_open = false;
  const bool silent = kind == CrashKind::kPowerLoss || SilentFor(*line->site);
  BreakAtCoordinator(line, silent ? kKeepalive : world_.Delay());
}

void Network::CoordinatorGone(CrashKind kind) {
  std::vector<std::shared_ptr<Line>> lines(lines_.begin(), lines_.end());
  std::sort(lines.begin(), lines.end(),
            [](const auto& a, const auto& b) { return a->number < b->number; });
  for (const std::shared_ptr<Line>& line : lines) {
    line->coordinator_open = false;
    const bool silent = kind == CrashKind::kPowerLoss || SilentFor(*line->site);
    BreakAtSite(line, Broke(), silent ? kKeepalive : world_.Delay());
  }
  lines_.clear();
}

// ---- calls

absl::Status Network::Travel(SiteMachine& site, const std::stop_token& stop) {
  if (site.Dead() || Down(site)) return Unreachable();
  if (SilentFor(site)) {
    if (!site.Sleep(kKeepalive, stop)) return absl::CancelledError("stopped");
    return Broke();
  }
  if (!site.Sleep(world_.Delay(), stop)) return absl::CancelledError("stopped");
  if (site.Dead() || Down(site)) return Broke();
  return absl::OkStatus();
}

absl::StatusOr<site_agent::UploadOutcome> Network::Upload(SiteMachine& site,
                                                          const site_agent::OutboxFile& update,
                                                          std::uint32_t first_segment,
                                                          const std::stop_token& stop) {
  CoordinatorMachine& coordinator = *world_.coordinator;
  const std::uint32_t segments = update.SegmentCount();
  if (first_segment > segments) return absl::OutOfRangeError("beyond the update");
  wire::UploadHeader header = update.header();
  header.first_segment = first_segment;
  world_.invariants->OnUpload(site.name(), header);
  RETURN_IF_ERROR(Travel(site, stop));
  if (!coordinator.alive()) return Unreachable();
  RETURN_IF_ERROR(CheckMember(site));
  const std::uint64_t life = coordinator.life(), call = ++calls_made_;
  // What the process cannot answer any more does not get out.
  const auto gone = [&] { return coordinator.life() != life || !coordinator.Alive(); };
  world_.trace.Arrow(world_.Now(), site.machine(), kCoordinatorMachine, "uploads", " from segment ",
                     first_segment, " of ", segments);
  auto begun = coordinator.conductor().BeginUpload(site.name(), Carried<v1::UploadHeader>(header));
  if (gone()) return Broke();
  coordinator.Wake();
  if (!begun.ok()) {
    RETURN_IF_ERROR(Travel(site, stop));
    if (!absl::IsOutOfRange(begun.status())) return begun.status();
    // The message names the segment, last.
    const std::string message(begun.status().message());
    const std::size_t digits = message.find_last_not_of("0123456789") + 1;
    if (digits == message.size()) return begun.status();
    const auto wanted = static_cast<std::uint32_t>(std::stoul(message.substr(digits)));
    if (wanted == first_segment) return begun.status();
    return site_agent::UploadOutcome{wanted};
  }
  std::uint32_t next = begun->next_segment();
  bool whole = next == begun->segments();
  coordinator.uploads.emplace(call, *std::move(begun));
  const auto finish = [&] {
    if (coordinator.life() == life) coordinator.uploads.erase(call);
  };
  while (!whole) {
    const auto [begin, end] = update.SegmentAt(next);
    Bytes segment(end - begin);
    absl::Status status = update.file().ReadAt(begin, segment);
    if (status.ok()) status = Travel(site, stop);
    if (status.ok() && ((cut_when && cut_when(site.name(), "upload")) ||
                        world_.Strikes(world_.weather.upload_cut, Fault::kUploadCut))) {
      status = Broke();
    }
    if (status.ok() && gone()) status = Broke();
    if (!status.ok()) {
      finish();
      return status;
    }
    if (world_.Strikes(world_.weather.segment_corrupted, Fault::kSegmentCorrupted)) {
      segment[world_.random.Below(segment.size())] ^= 1 << world_.random.Below(8);
      world_.invariants->OnSegmentCorrupted(site.name(), header.key);
    }
    world_.trace.Arrow(world_.Now(), site.machine(), kCoordinatorMachine, "segment", " ", next);
    world_.invariants->OnSegmentSent(site.name(), header.key);
    const auto added = coordinator.uploads.at(call).Add(segment);
    if (gone()) {
      finish();
      return Broke();
    }
    coordinator.Wake();
    if (!added.ok()) {
      finish();
      RETURN_IF_ERROR(Travel(site, stop));
      return added.status();
    }
    world_.invariants->OnSegmentTaken(site.name(), header);
    whole = *added;
    ++next;
    if (!whole && next == segments) {
      finish();
      return absl::AbortedError("the upload broke off");
    }
  }
  finish();
  // The coordinator says that it has all of it, whether that arrives or not.
  world_.invariants->OnReceipt(site.name(), header.key);
  if (world_.Strikes(world_.weather.receipt_lost, Fault::kReceiptLost)) return Broke();
  RETURN_IF_ERROR(Travel(site, stop));
  world_.trace.Arrow(world_.Now(), kCoordinatorMachine, site.machine(), "has all of it");
  return site_agent::UploadOutcome{};
}

absl::Status Network::Download(SiteMachine& site, const ModelId& model,
                               std::span<const wire::ByteRange> ranges, std::uint64_t offset,
                               const site_agent::ModelSink& sink, const std::stop_token& stop) {
  CoordinatorMachine& coordinator = *world_.coordinator;
  RETURN_IF_ERROR(Travel(site, stop));
  if (!coordinator.alive()) return Unreachable();
  RETURN_IF_ERROR(CheckMember(site));
  const std::uint64_t life = coordinator.life();
  absl::StatusOr<File> file = coordinator.models().OpenForReading(model);
  absl::StatusOr<std::uint64_t> size =
      file.ok() ? file->Size() : absl::StatusOr<std::uint64_t>(file.status());
  if (!coordinator.Alive() || coordinator.life() != life) return Broke();
  world_.trace.Arrow(world_.Now(), site.machine(), kCoordinatorMachine, "downloads", " ",
                     model.Short(), " from ", offset);
  if (absl::IsNotFound(size.status())) {
    world_.invariants->OnModelNotThere(coordinator, site.name(), model);
  }
  absl::StatusOr<wire::WantedBytes> wanted =
      size.ok() ? wire::WantedBytes::Of(ranges, *size, offset)
                : absl::StatusOr<wire::WantedBytes>(size.status());
  if (!wanted.ok()) {
    RETURN_IF_ERROR(Travel(site, stop));
    return wanted.status();
  }
  // Two pieces or so.
  const std::uint64_t largest = std::max<std::uint64_t>(*size / 2, 1) + 1;
  while (!wanted->AtEnd()) {
    Bytes piece(std::min(largest, wanted->Next().size));
    const absl::Status read = file->ReadAt(wanted->Next().begin, piece);
    RETURN_IF_ERROR(Travel(site, stop));
    if ((cut_when && cut_when(site.name(), "download")) ||
        world_.Strikes(world_.weather.download_cut, Fault::kDownloadCut)) {
      return Broke();
    }
    if (coordinator.life() != life || !coordinator.Alive()) return Broke();
    RETURN_IF_ERROR(read);
    if (world_.Strikes(world_.weather.piece_corrupted, Fault::kPieceCorrupted)) {
      piece[world_.random.Below(piece.size())] ^= 1 << world_.random.Below(8);
      world_.invariants->OnPieceCorrupted(site.name());
    }
    RETURN_IF_ERROR(sink(piece, wanted->total()));
    wanted->Advance(piece.size());
  }
  return absl::OkStatus();
}

}  // namespace consilium::simulation
