#include "datasets/pacs/dimse_archive.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "datasets/pacs/storage_scp.h"

namespace consilium::datasets::pacs {
namespace {

// Study Root Query/Retrieve (PS3.4 C.6.2).
constexpr std::string_view kFindModel = "1.2.840.10008.5.1.4.1.2.2.1";
constexpr std::string_view kMoveModel = "1.2.840.10008.5.1.4.1.2.2.2";
constexpr std::string_view kGetModel = "1.2.840.10008.5.1.4.1.2.2.3";

constexpr std::uint32_t kCharacterSet = 0x00080005, kSopClass = 0x00080016,
                        kSopInstance = 0x00080018, kStudyDate = 0x00080020, kAccession = 0x00080050,
                        kLevel = 0x00080052, kModality = 0x00080060,
                        kModalitiesInStudy = 0x00080061, kStudyDescription = 0x00081030,
                        kSeriesDescription = 0x0008103E, kPatientId = 0x00100020,
                        kStudyUid = 0x0020000D, kSeriesUid = 0x0020000E;

constexpr std::uint64_t kMaxIdentifierBytes = 1 << 20;
constexpr std::size_t kUidsInOneRequest = 64;
constexpr std::uint16_t kCancelStatus = 0xFE00;

bool IsPending(std::uint16_t status) { return status == 0xFF00 || status == 0xFF01; }

std::string Join(const std::vector<std::string>& values) {
  std::string joined;
  for (const std::string& value : values) {
    if (!joined.empty()) joined.push_back('\\');
    joined += value;
  }
  return joined;
}

// ISO 8859-1, which archives use most besides UTF-8, as UTF-8. Other character sets stay as they
// are: what we compare is ASCII in all of them.
std::string ToUtf8(const std::string& text, const std::string& character_set) {
  if (character_set != "ISO_IR 100") return text;
  std::string out;
  for (const unsigned char c : text) {
    if (c < 0x80) {
      out.push_back(static_cast<char>(c));
    } else {
      out.push_back(static_cast<char>(0xC0 | (c >> 6)));
      out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
    }
  }
  return out;
}

std::string Described(const ElementSet& match, std::uint32_t tag) {
  return ToUtf8(match.Text(tag), match.Text(kCharacterSet));
}

std::string DateRange(const StudyKeys& keys) {
  if (keys.since.empty() && keys.until.empty()) return "";
  return keys.since == keys.until ? keys.since : StrCat(keys.since, "-", keys.until);
}

// What the archive said in its own words, without what could be a patient's.
std::string StatusText(std::string_view service, std::uint16_t status) {
  return StrCat(service, " failed with status ", absl::StrFormat("%04X", status));
}

absl::Status RequestFailed(std::string_view service, std::uint16_t status) {
  const std::string text = StatusText(service, status);
  if (status == 0x0122) {
    return absl::PermissionDeniedError(StrCat(text, ": the archive does not offer this service"));
  }
  if (status == 0x0124) {
    return absl::PermissionDeniedError(StrCat(
        text, ": not authorised. Ask the archive's administrator to allow it for our AE title"));
  }
  if ((status & 0xFF00) == 0xA700) {
    return absl::UnavailableError(StrCat(text, ": the archive is out of resources"));
  }
  if (status == 0xA900) {
    return absl::InvalidArgumentError(StrCat(text, ": the archive does not understand the keys"));
  }
  return absl::UnavailableError(
      StrCat(text, ": the archive could not process it; its log says why"));
}

ElementSet RequestCommand(CommandField field, std::string_view model, std::uint16_t id) {
  ElementSet request;
  request.SetUid(command::kAffectedSopClass, model)
      .SetUnsigned16(command::kField, static_cast<std::uint16_t>(field))
      .SetUnsigned16(command::kMessageId, id)
      .SetUnsigned16(command::kPriority, 0)
      .SetUnsigned16(command::kDataSetType, command::kWithDataSet);
  return request;
}

std::vector<PresentationContext> OneContext(std::string_view model) {
  return {{1, std::string(model), {std::string(kImplicitLittleEndian)}}};
}

absl::Status NotOffered(std::string_view service) {
  return absl::PermissionDeniedError(StrCat("the archive does not offer ", service,
                                            " to our AE title. Ask its administrator to ",
                                            "allow it, or use another way (--method)"));
}

absl::Status Interrupt(const Cancelled& cancelled) {
  return cancelled && cancelled() ? absl::CancelledError("interrupted") : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Association>> Associate(const DimsePeer& peer,
                                                       std::vector<PresentationContext> contexts,
                                                       std::vector<std::string> scp_roles,
                                                       const Cancelled& cancelled) {
  RETURN_IF_ERROR(CheckAeTitle(peer.called));
  RETURN_IF_ERROR(CheckAeTitle(peer.calling));
  std::shared_ptr<Transport> transport = Transport::Plain();
  if (peer.tls) {
    ASSIGN_OR_RETURN(transport, Transport::Tls(*peer.tls, TlsSide::kConnects));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   Connection::Connect(peer.address, transport, peer.connect, cancelled));
  AssociateRequest request;
  request.called = peer.called;
  request.calling = peer.calling;
  request.contexts = std::move(contexts);
  request.scp_roles = std::move(scp_roles);
  return Association::Request(std::move(connection), request, peer.limits);
}

absl::Status DimseArchive::Find(const ElementSet& identifier,
                                const std::function<bool(const ElementSet&)>& take) {
  RETURN_IF_ERROR(Interrupt(cancelled_));
  if (!finding_) {
    ASSIGN_OR_RETURN(finding_, Associate(options_.peer, OneContext(kFindModel), {}, cancelled_));
    if (!finding_->Find(kFindModel)) {
      finding_.reset();
      return NotOffered("C-FIND (Study Root)");
    }
  }
  const absl::Status found = FindOn(*finding_, identifier, take);
  if (!found.ok()) finding_.reset();
  return found;
}

absl::Status DimseArchive::FindOn(Association& association, const ElementSet& identifier,
                                  const std::function<bool(const ElementSet&)>& take) {
  const std::uint16_t id = ++message_id_;
  RETURN_IF_ERROR(association.Send(1, RequestCommand(CommandField::kFindRequest, kFindModel, id)));
  RETURN_IF_ERROR(association.SendDataSet(1, identifier.Encode()));
  bool enough = false;
  for (std::size_t matches = 0;; ++matches) {
    ASSIGN_OR_RETURN(const std::optional<Message> response, association.Receive());
    if (!response) return absl::UnavailableError("the archive ended the association");
    if (!response->Is(CommandField::kFindResponse)) {
      return absl::InvalidArgumentError("the archive answered C-FIND with another message");
    }
    Bytes bytes;
    if (response->has_data_set()) {
      RETURN_IF_ERROR(
          association.ReceiveDataSet(response->context, kMaxIdentifierBytes, [&](ByteView piece) {
            bytes.insert(bytes.end(), piece.begin(), piece.end());
            return absl::OkStatus();
          }));
    }
    const std::uint16_t status = response->status();
    if (status == 0 || (enough && status == kCancelStatus)) return absl::OkStatus();
    if (!IsPending(status)) return RequestFailed("C-FIND", status);
    if (enough) continue;
    if (matches == kMaxMatches) {
      return absl::OutOfRangeError(StrCat("over ", kMaxMatches, " matches: narrow the query"));
    }
    ASSIGN_OR_RETURN(const ElementSet match, ElementSet::Parse(bytes));
    if (take(match)) continue;
    enough = true;
    ElementSet cancel;
    cancel.SetUnsigned16(command::kField, static_cast<std::uint16_t>(CommandField::kCancelRequest))
        .SetUnsigned16(command::kMessageIdRespondedTo, id)
        .SetUnsigned16(command::kDataSetType, command::kNoDataSet);
    RETURN_IF_ERROR(association.Send(1, cancel));
  }
}

absl::Status DimseArchive::FindStudies(const StudyKeys& keys,
                                       const std::function<bool(Study)>& take) {
  ElementSet identifier;
  identifier.SetText(kLevel, "STUDY")
      .SetText(kStudyDate, DateRange(keys))
      .SetText(kAccession, keys.accession_number)
      .SetText(kModalitiesInStudy, keys.modality)
      .SetText(kStudyDescription, "")
      .SetText(kPatientId, keys.patient_id)
      .SetUid(kStudyUid, Join(keys.study_uids));
  const std::string given = StrCat(keys.patient_id, keys.accession_number);
  if (std::any_of(given.begin(), given.end(), [](unsigned char c) { return c >= 0x80; })) {
    identifier.SetText(kCharacterSet, "ISO_IR 192");
  }
  return Find(identifier, [&](const ElementSet& match) {
    Study study;
    study.uid = match.Text(kStudyUid);
    study.patient_id = match.Text(kPatientId);
    study.accession_number = match.Text(kAccession);
    study.date = match.Text(kStudyDate);
    study.description = Described(match, kStudyDescription);
    study.modalities = match.Texts(kModalitiesInStudy);
    return take(std::move(study));
  });
}

absl::StatusOr<std::vector<Series>> DimseArchive::FindSeries(const std::string& study_uid) {
  ElementSet identifier;
  identifier.SetText(kLevel, "SERIES")
      .SetText(kModality, "")
      .SetText(kSeriesDescription, "")
      .SetUid(kStudyUid, study_uid)
      .SetUid(kSeriesUid, "");
  std::vector<Series> found;
  RETURN_IF_ERROR(Find(identifier, [&](const ElementSet& match) {
    found.push_back({study_uid, match.Text(kSeriesUid), match.Text(kModality),
                     Described(match, kSeriesDescription)});
    return true;
  }));
  return found;
}

absl::StatusOr<std::vector<Instance>> DimseArchive::FindInstances(const Series& series) {
  ElementSet identifier;
  identifier.SetText(kLevel, "IMAGE")
      .SetUid(kSopClass, "")
      .SetUid(kSopInstance, "")
      .SetUid(kStudyUid, series.study_uid)
      .SetUid(kSeriesUid, series.uid);
  std::vector<Instance> found;
  RETURN_IF_ERROR(Find(identifier, [&](const ElementSet& match) {
    found.push_back({match.Text(kSopClass), match.Text(kSopInstance)});
    return true;
  }));
  return found;
}

absl::Status DimseArchive::Fetch(const Series& series, const std::vector<Instance>& wanted,
                                 bool whole, InstanceStore& store) {
  const bool move = options_.method == RetrieveMethod::kMove;
  const std::size_t at_once = whole ? wanted.size() : kUidsInOneRequest;
  for (std::size_t at = 0; at < wanted.size(); at += at_once) {
    RETURN_IF_ERROR(Interrupt(cancelled_));
    const std::vector<Instance> part(wanted.begin() + at,
                                     wanted.begin() + std::min(wanted.size(), at + at_once));
    ElementSet identifier;
    identifier.SetText(kLevel, whole ? "SERIES" : "IMAGE")
        .SetUid(kStudyUid, series.study_uid)
        .SetUid(kSeriesUid, series.uid);
    if (!whole) {
      std::vector<std::string> uids;
      for (const Instance& instance : part) uids.push_back(instance.sop_instance_uid);
      identifier.SetUid(kSopInstance, Join(uids));
    }
    RETURN_IF_ERROR(move ? Move(identifier, store) : Get(identifier, part, store));
  }
  return absl::OkStatus();
}

absl::Status DimseArchive::Get(const ElementSet& identifier, const std::vector<Instance>& wanted,
                               InstanceStore& store) {
  std::set<std::string> classes;
  for (const Instance& instance : wanted) {
    if (IsStorageClass(instance.sop_class_uid)) classes.insert(instance.sop_class_uid);
  }
  if (classes.empty()) {
    return absl::FailedPreconditionError(
        "the archive does not say the SOP classes of its instances, which C-GET needs: use "
        "--method move");
  }
  // A context for each syntax lets the archive send each instance as it is stored.
  std::vector<PresentationContext> contexts = OneContext(kGetModel);
  for (const std::string& sop_class : classes) {
    for (const std::string& syntax : AcceptedTransferSyntaxes()) {
      if (contexts.size() == 128) break;
      contexts.push_back({static_cast<std::uint8_t>(2 * contexts.size() + 1), sop_class, {syntax}});
    }
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Association> association,
      Associate(options_.peer, std::move(contexts), {classes.begin(), classes.end()}, cancelled_));
  if (!association->Find(kGetModel)) return NotOffered("C-GET (Study Root)");
  RETURN_IF_ERROR(GetOn(*association, identifier, store));
  association->Release().IgnoreError();
  return absl::OkStatus();
}

absl::Status DimseArchive::GetOn(Association& association, const ElementSet& identifier,
                                 InstanceStore& store) {
  const ElementSet request = RequestCommand(CommandField::kGetRequest, kGetModel, ++message_id_);
  RETURN_IF_ERROR(association.Send(1, request));
  RETURN_IF_ERROR(association.SendDataSet(1, identifier.Encode()));
  absl::Status not_stored;
  for (;;) {
    RETURN_IF_ERROR(Interrupt(cancelled_));
    ASSIGN_OR_RETURN(const std::optional<Message> message, association.Receive());
    if (!message) return absl::UnavailableError("the archive ended the association");
    if (message->Is(CommandField::kStoreRequest)) {
      ASSIGN_OR_RETURN(const StoreOutcome outcome,
                       ReceiveStore(association, *message, options_.peer.called, store));
      if (outcome.status == kOutOfResources) return outcome.reason;
      if (not_stored.ok()) not_stored = outcome.reason;
      continue;
    }
    if (!message->Is(CommandField::kGetResponse)) {
      return absl::InvalidArgumentError("the archive answered C-GET with another message");
    }
    if (message->has_data_set()) {  // the UIDs that failed: the store knows what has arrived
      RETURN_IF_ERROR(association.ReceiveDataSet(message->context, kMaxIdentifierBytes,
                                                 [](ByteView) { return absl::OkStatus(); }));
    }
    const std::uint16_t status = message->status();
    if (IsPending(status)) continue;
    if (!not_stored.ok()) return not_stored;
    if (status == 0 || (status & 0xF000) == 0xB000) return absl::OkStatus();
    return RequestFailed("C-GET", status);
  }
}

absl::Status DimseArchive::Move(const ElementSet& identifier, InstanceStore& store) {
  if (!listener_) {
    ASSIGN_OR_RETURN(listener_, StorageListener::Start(options_.listener, store));
  }
  if (!moving_) {
    ASSIGN_OR_RETURN(moving_, Associate(options_.peer, OneContext(kMoveModel), {}, cancelled_));
    if (!moving_->Find(kMoveModel)) {
      moving_.reset();
      return NotOffered("C-MOVE (Study Root)");
    }
  }
  // Given back only after a complete exchange.
  std::unique_ptr<Association> association = std::move(moving_);
  const std::string& destination = options_.listener.ae_title;
  ElementSet request = RequestCommand(CommandField::kMoveRequest, kMoveModel, ++message_id_);
  request.SetText(command::kMoveDestination, destination);
  RETURN_IF_ERROR(association->Send(1, request));
  RETURN_IF_ERROR(association->SendDataSet(1, identifier.Encode()));
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<Message> message, association->Receive());
    if (!message) return absl::UnavailableError("the archive ended the association");
    if (!message->Is(CommandField::kMoveResponse)) {
      return absl::InvalidArgumentError("the archive answered C-MOVE with another message");
    }
    if (message->has_data_set()) {
      RETURN_IF_ERROR(association->ReceiveDataSet(message->context, kMaxIdentifierBytes,
                                                  [](ByteView) { return absl::OkStatus(); }));
    }
    const std::uint16_t status = message->status();
    if (IsPending(status)) continue;
    if (status == 0 || (status & 0xF000) == 0xB000) break;
    const std::string ask = StrCat(". Ask its administrator to register the AE title ", destination,
                                   " with this machine's address and port ", listener_->port(),
                                   ", and whether it can connect there");
    if (status == 0xA801) {
      return absl::PermissionDeniedError(
          StrCat("C-MOVE: the archive does not know the destination ", destination, ask));
    }
    const absl::Status failed = RequestFailed("C-MOVE", status);
    return absl::Status(failed.code(), StrCat(failed.message(), ask));
  }
  moving_ = std::move(association);
  return absl::OkStatus();
}

}  // namespace consilium::datasets::pacs
