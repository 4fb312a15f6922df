#include "datasets/pacs/dicomweb_archive.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "common/base/status.h"
#include "datasets/pacs/multipart.h"
#include "datasets/pacs/pdu.h"

namespace consilium::datasets::pacs {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxAnswerBytes = 64 << 20;
constexpr std::size_t kPage = 500;

// The part that is coming in: the archive's file meta information is read and written anew.
class IncomingPart {
 public:
  explicit IncomingPart(InstanceStore& store) : store_(store) {}

  absl::Status Begin() {
    beginning_.clear();
    incoming_.reset();
    passed_over_ = false;
    return absl::OkStatus();
  }

  absl::Status Append(ByteView bytes) {
    if (passed_over_) return absl::OkStatus();
    if (incoming_) return Keep(incoming_->Append(bytes));
    beginning_.insert(beginning_.end(), bytes.begin(), bytes.end());
    const absl::StatusOr<std::optional<FileMeta>> meta = ParseFileMeta(beginning_);
    if (!meta.ok()) return Keep(meta.status());
    if (!*meta) return absl::OkStatus();
    if (store_.Has((*meta)->head.sop_instance_uid)) {
      passed_over_ = true;
      return absl::OkStatus();
    }
    absl::StatusOr<IncomingInstance> begun = store_.Begin((*meta)->head);
    if (!begun.ok()) return Keep(begun.status());
    incoming_.emplace(*std::move(begun));
    return Keep(incoming_->Append(ByteView(beginning_).subspan((*meta)->data_set_offset)));
  }

  absl::Status End() {
    if (passed_over_) return absl::OkStatus();
    if (!incoming_) return Keep(absl::InvalidArgumentError("a part is no whole DICOM file"));
    const absl::Status committed = Keep(incoming_->Commit());
    incoming_.reset();
    return committed;
  }

  // Why parts were not stored; the first reason.
  const absl::Status& refused() const { return refused_; }

 private:
  // A part that is bad is passed over; a full disk ends it all.
  absl::Status Keep(const absl::Status& status) {
    if (status.ok()) return status;
    incoming_.reset();
    passed_over_ = true;
    if (status.code() != absl::StatusCode::kInvalidArgument &&
        status.code() != absl::StatusCode::kOutOfRange) {
      return status;
    }
    if (refused_.ok()) refused_ = status;
    return absl::OkStatus();
  }

  InstanceStore& store_;
  Bytes beginning_;
  std::optional<IncomingInstance> incoming_;
  bool passed_over_ = false;
  absl::Status refused_;
};

std::string SeriesPath(const Series& series) {
  return StrCat("/studies/", UrlEncoded(series.study_uid), "/series/", UrlEncoded(series.uid));
}

void AddKey(std::string* query, std::string_view name, std::string_view value) {
  if (!value.empty()) StrAppend(query, "&", name, "=", UrlEncoded(value));
}

}  // namespace

// PS3.18 annex F: {"0020000D": {"vr": "UI", "Value": ["1.2.3"]}, ...}
struct DicomwebArchive::Match {
  const Json& json;

  std::vector<std::string> Texts(const char* tag) const {
    std::vector<std::string> texts;
    if (!json.is_object()) return texts;
    const auto attribute = json.find(tag);
    if (attribute == json.end() || !attribute->is_object()) return texts;
    const auto values = attribute->find("Value");
    if (values == attribute->end() || !values->is_array()) return texts;
    for (const Json& value : *values) {
      if (value.is_string()) texts.push_back(value.get<std::string>());
    }
    return texts;
  }
  std::string Text(const char* tag) const {
    const std::vector<std::string> texts = Texts(tag);
    return texts.empty() ? "" : texts.front();
  }
};

absl::Status DicomwebArchive::Search(const std::string& path, const std::string& query,
                                     const char* identity,
                                     const std::function<bool(const Match&)>& take) {
  std::set<std::string> seen;
  for (std::size_t offset = 0;;) {
    ASSIGN_OR_RETURN(const std::string text,
                     client_->GetText(StrCat(path, "?limit=", kPage, "&offset=", offset, query),
                                      "application/dicom+json", kMaxAnswerBytes));
    if (text.empty()) return absl::OkStatus();
    const Json answer = Json::parse(text, nullptr, false);
    if (!answer.is_array()) {
      return absl::InvalidArgumentError(
          "the archive's answer to a search is no DICOM JSON: is the URL that of its DICOMweb "
          "root?");
    }
    // An archive that knows no offset gives the same page again.
    std::size_t fresh = 0;
    for (const Json& json : answer) {
      const Match match{json};
      const std::string uid = match.Text(identity);
      if (!IsUid(uid) || !seen.insert(uid).second) continue;
      ++fresh;
      if (!take(match)) return absl::OkStatus();
    }
    if (fresh == 0 || answer.size() < kPage) return absl::OkStatus();
    if (seen.size() > kMaxMatches) {
      return absl::OutOfRangeError(StrCat("over ", kMaxMatches, " matches: narrow the query"));
    }
    offset += answer.size();
  }
}

absl::Status DicomwebArchive::FindStudies(const StudyKeys& keys,
                                          const std::function<bool(Study)>& take) {
  std::string query;
  AddKey(&query, "PatientID", keys.patient_id);
  AddKey(&query, "AccessionNumber", keys.accession_number);
  AddKey(&query, "ModalitiesInStudy", keys.modality);
  if (!keys.since.empty() || !keys.until.empty()) {
    AddKey(&query, "StudyDate", StrCat(keys.since, "-", keys.until));
  }
  std::string uids;
  for (const std::string& uid : keys.study_uids) StrAppend(&uids, uids.empty() ? "" : ",", uid);
  if (!uids.empty()) StrAppend(&query, "&StudyInstanceUID=", uids);
  AddKey(&query, "includefield", "StudyDescription");
  return Search("/studies", query, "0020000D", [&](const Match& match) {
    Study study;
    study.uid = match.Text("0020000D");
    study.patient_id = match.Text("00100020");
    study.accession_number = match.Text("00080050");
    study.date = match.Text("00080020");
    study.description = match.Text("00081030");
    study.modalities = match.Texts("00080061");
    return take(std::move(study));
  });
}

absl::StatusOr<std::vector<Series>> DicomwebArchive::FindSeries(const std::string& study_uid) {
  std::vector<Series> found;
  RETURN_IF_ERROR(Search(StrCat("/studies/", UrlEncoded(study_uid), "/series"),
                         "&includefield=SeriesDescription", "0020000E", [&](const Match& match) {
                           found.push_back({study_uid, match.Text("0020000E"),
                                            match.Text("00080060"), match.Text("0008103E")});
                           return true;
                         }));
  return found;
}

absl::StatusOr<std::vector<Instance>> DicomwebArchive::FindInstances(const Series& series) {
  std::vector<Instance> found;
  RETURN_IF_ERROR(
      Search(StrCat(SeriesPath(series), "/instances"), "", "00080018", [&](const Match& match) {
        found.push_back({match.Text("00080016"), match.Text("00080018")});
        return true;
      }));
  return found;
}

absl::Status DicomwebArchive::Fetch(const Series& series, const std::vector<Instance>& wanted,
                                    bool whole, InstanceStore& store) {
  if (whole) return Retrieve(SeriesPath(series), store);
  for (const Instance& instance : wanted) {
    RETURN_IF_ERROR(Retrieve(
        StrCat(SeriesPath(series), "/instances/", UrlEncoded(instance.sop_instance_uid)), store));
  }
  return absl::OkStatus();
}

absl::Status DicomwebArchive::Retrieve(const std::string& path, InstanceStore& store) {
  IncomingPart part(store);
  std::optional<MultipartParser> parser;
  // transfer-syntax=*: as stored (PS3.18 section 8.7.3.5.2).
  RETURN_IF_ERROR(client_->Get(
      path, "multipart/related; type=\"application/dicom\"; transfer-syntax=*",
      [&](const std::string& content_type) -> absl::Status {
        ASSIGN_OR_RETURN(const std::string boundary, MultipartBoundary(content_type));
        parser.emplace(boundary,
                       MultipartParser::Handler{[&] { return part.Begin(); },
                                                [&](ByteView bytes) { return part.Append(bytes); },
                                                [&] { return part.End(); }});
        return absl::OkStatus();
      },
      [&](ByteView bytes) { return parser->Feed(bytes); }));
  if (parser) RETURN_IF_ERROR(parser->Finish());
  return part.refused();
}

}  // namespace consilium::datasets::pacs
