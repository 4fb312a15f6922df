// The work under way: what a restart plays back to go on inside an attempt or an evaluation.
//
// A record is compact JSON; keys, signatures and shares are hexadecimal, a number that is not
// finite is null. Masked sums, thousands of numbers, are beside it, little endian.

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "common/base/overloaded.h"
#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;

// Thrown while a record is read, as json::exception is; neither leaves this file.
struct Damaged : std::exception {};

json Number(double value) { return std::isfinite(value) ? json(value) : json(); }
double NumberFrom(const json& in) {
  return in.is_null() ? std::numeric_limits<double>::quiet_NaN() : in.get<double>();
}

std::int64_t MicrosFrom(const json& in) { return in.get<std::int64_t>(); }

Bytes BytesFrom(const json& in) {
  const absl::StatusOr<Bytes> bytes = FromHex(in.get<std::string>());
  if (!bytes.ok()) throw Damaged();
  return *bytes;
}
template <std::size_t N>
void ArrayFrom(const json& in, std::array<std::uint8_t, N>& out) {
  const Bytes bytes = BytesFrom(in);
  if (bytes.size() != N) throw Damaged();
  std::copy(bytes.begin(), bytes.end(), out.begin());
}
template <class Array>
Array ArrayFrom(const json& in) {
  Array out;
  ArrayFrom(in, out);
  return out;
}
Digest DigestFrom(const json& in) {
  const absl::StatusOr<Digest> digest = Digest::FromHex(in.get<std::string>());
  if (!digest.ok()) throw Damaged();
  return *digest;
}

template <class Value, class Write>
json BySite(const std::map<SiteId, Value>& map, Write write) {
  json out = json::object();
  for (const auto& [site, value] : map) out[site.value] = write(value);
  return out;
}
template <class Value, class Read>
std::map<SiteId, Value> BySiteFrom(const json& in, Read read) {
  if (!in.is_object()) throw Damaged();
  std::map<SiteId, Value> out;
  for (const auto& [site, value] : in.items()) out.emplace(SiteId(site), read(value));
  return out;
}

json Write(const AttemptKey& key) { return {key.run.value, key.round, key.attempt}; }
AttemptKey KeyFrom(const json& in) {
  return {RunId(in.at(0).get<std::string>()), in.at(1).get<std::uint32_t>(),
          in.at(2).get<std::uint32_t>()};
}

json Write(const secagg::SessionKey& key) { return {Write(key.attempt), key.purpose}; }
secagg::SessionKey SessionFrom(const json& in) {
  const int purpose = in.at(1).get<int>();
  if (purpose < 1 || purpose > secagg::kPurposes) throw Damaged();
  return {KeyFrom(in.at(0)), static_cast<secagg::Purpose>(purpose)};
}

json Write(const secagg::SessionConfig& config) {
  return {{"federation", config.federation},
          {"key", Write(config.key)},
          {"model", config.model.Hex()},
          {"roster", config.roster.Hex()},
          {"cohort_size", config.cohort_size},
          {"threshold", config.threshold},
          {"values", config.values},
          {"sums", config.sums},
          {"layout", config.layout.Hex()},
          {"clip_norm", Number(config.clip_norm)},
          {"total_weight", Number(config.total_weight)},
          {"weight_rule", config.weight_rule},
          {"privacy", config.privacy}};
}
secagg::SessionConfig ConfigFrom(const json& in) {
  secagg::SessionConfig config;
  in.at("federation").get_to(config.federation);
  config.key = SessionFrom(in.at("key"));
  config.model = DigestFrom(in.at("model"));
  config.roster = DigestFrom(in.at("roster"));
  in.at("cohort_size").get_to(config.cohort_size);
  in.at("threshold").get_to(config.threshold);
  in.at("values").get_to(config.values);
  in.at("sums").get_to(config.sums);
  config.layout = DigestFrom(in.at("layout"));
  config.clip_norm = NumberFrom(in.at("clip_norm"));
  config.total_weight = NumberFrom(in.at("total_weight"));
  in.at("weight_rule").get_to(config.weight_rule);
  in.at("privacy").get_to(config.privacy);
  return config;
}

// ---- what a site answered in a session, by step

json Write(const secagg::Advertisement& a) {
  return {{"site", a.site.value},
          {"share_key", ToHex(a.share_key)},
          {"mask_key", ToHex(a.mask_key)},
          {"seed_hash", a.seed_hash.Hex()},
          {"signature", ToHex(a.signature)}};
}
json Write(const std::vector<secagg::SealedShare>& shares) {
  json out = json::array();
  for (const auto& share : shares) {
    out.push_back({share.from.value, share.to.value, ToHex(share.sealed)});
  }
  return out;
}
json Write(const wire::MaskedSums& masked) { return {{"signature", ToHex(masked.signature)}}; }
json Write(const crypto::Signature& signature) { return ToHex(signature); }
json Write(const secagg::UnmaskAnswer& answer) {
  const auto hex = [](const secagg::Share& share) { return json(ToHex(share)); };
  return {{"seeds", BySite(answer.seed_shares, hex)},
          {"mask_keys", BySite(answer.mask_key_shares, hex)}};
}

decltype(wire::SecureAnswer::answer) AnswerFrom(std::size_t step, const json& in) {
  switch (step) {
    case 0: {
      secagg::Advertisement a;
      a.site = SiteId(in.at("site").get<std::string>());
      ArrayFrom(in.at("share_key"), a.share_key);
      ArrayFrom(in.at("mask_key"), a.mask_key);
      a.seed_hash = DigestFrom(in.at("seed_hash"));
      ArrayFrom(in.at("signature"), a.signature);
      return a;
    }
    case 1: {
      std::vector<secagg::SealedShare> shares;
      for (const json& share : in) {
        shares.push_back({SiteId(share.at(0).get<std::string>()),
                          SiteId(share.at(1).get<std::string>()), BytesFrom(share.at(2))});
      }
      return shares;
    }
    case 2:
      return wire::MaskedSums{
          in.contains("sums") ? in.at("sums").get<std::vector<std::uint64_t>>()  // until ledger v3
                              : std::vector<std::uint64_t>(),
          ArrayFrom<crypto::Signature>(in.at("signature"))};
    case 3:
      return ArrayFrom<crypto::Signature>(in);
    case 4:
      return secagg::UnmaskAnswer{
          BySiteFrom<secagg::Share>(in.at("seeds"), ArrayFrom<secagg::Share>),
          BySiteFrom<secagg::Share>(in.at("mask_keys"), ArrayFrom<secagg::Share>)};
  }
  throw Damaged();
}

// ---- records

json Write(const WorkOpened& opened) {
  const auto number = [](double weight) { return Number(weight); };
  const auto hex = [](const crypto::Ed25519PublicKey& key) { return json(ToHex(key)); };
  return {{"key", Write(opened.key)},
          {"opened", ToMicros(opened.opened)},
          {"deadline", ToMicros(opened.deadline)},
          {"needed", opened.needed},
          {"sessions", opened.sessions},
          {"weights", BySite(opened.weights, number)},
          {"secure", opened.secure ? Write(*opened.secure) : json()},
          {"signing_keys", BySite(opened.signing_keys, hex)}};
}
json Write(const WorkAnswered& answered) {
  return {{"site", answered.site.value},
          {"session", Write(answered.answer.session)},
          {"step", answered.answer.answer.index()},
          {"answer", std::visit([](const auto& a) { return Write(a); }, answered.answer.answer)}};
}
json Write(const WorkUploaded& uploaded) {
  const ContributionComplete& c = uploaded.contribution;
  return {{"site", c.site.value},
          {"key", Write(c.key)},
          {"weight", Number(c.weight)},
          {"loss", Number(c.loss)},
          {"train_seconds", Number(c.train_seconds)},
          {"upload_seconds", Number(c.upload_seconds)},
          {"bytes", c.bytes},
          {"masked_sums", c.masked_sums},
          {"sha256", c.proof.sha256.Hex()},
          {"signature", ToHex(c.proof.signature)}};
}
json Write(const WorkLost& lost) {
  return {{"site", lost.site.value}, {"reason", lost.reason}, {"silent", lost.silent}};
}
json Write(const WorkStepClosed& closed) { return {{"step", closed.step}}; }

void Read(const json& in, WorkOpened& opened) {
  opened.key = KeyFrom(in.at("key"));
  opened.opened = FromMicros(MicrosFrom(in.at("opened")));
  opened.deadline = FromMicros(MicrosFrom(in.at("deadline")));
  in.at("needed").get_to(opened.needed);
  in.at("sessions").get_to(opened.sessions);
  opened.weights = BySiteFrom<double>(in.at("weights"), NumberFrom);
  if (const json& secure = in.at("secure"); !secure.is_null()) opened.secure = ConfigFrom(secure);
  opened.signing_keys = BySiteFrom<crypto::Ed25519PublicKey>(in.at("signing_keys"),
                                                             ArrayFrom<crypto::Ed25519PublicKey>);
}
void Read(const json& in, WorkAnswered& answered) {
  answered.site = SiteId(in.at("site").get<std::string>());
  answered.answer.session = SessionFrom(in.at("session"));
  answered.answer.answer = AnswerFrom(in.at("step").get<std::size_t>(), in.at("answer"));
}
void Read(const json& in, WorkUploaded& uploaded) {
  ContributionComplete& c = uploaded.contribution;
  c.site = SiteId(in.at("site").get<std::string>());
  c.key = KeyFrom(in.at("key"));
  c.weight = NumberFrom(in.at("weight"));
  c.loss = NumberFrom(in.at("loss"));
  c.train_seconds = NumberFrom(in.at("train_seconds"));
  c.upload_seconds = NumberFrom(in.at("upload_seconds"));
  in.at("bytes").get_to(c.bytes);
  in.at("masked_sums").get_to(c.masked_sums);
  c.proof.sha256 = DigestFrom(in.at("sha256"));
  ArrayFrom(in.at("signature"), c.proof.signature);
}
void Read(const json& in, WorkLost& lost) {
  lost.site = SiteId(in.at("site").get<std::string>());
  in.at("reason").get_to(lost.reason);
  in.at("silent").get_to(lost.silent);
}
void Read(const json& in, WorkStepClosed& closed) { in.at("step").get_to(closed.step); }

// An empty record of the kind, which is the number of the alternative; never changed.
WorkRecord RecordOf(std::int64_t kind) {
  switch (kind) {
    case 0:
      return WorkOpened{};
    case 1:
      return WorkAnswered{};
    case 2:
      return WorkUploaded{};
    case 3:
      return WorkLost{};
    case 4:
      return WorkStepClosed{};
  }
  throw Damaged();
}

// Of a masked answer, whose sums are kept beside the record; else null.
template <class Record>
auto* SumsOf(Record& record) {
  auto* answered = std::get_if<WorkAnswered>(&record);
  auto* masked =
      answered == nullptr ? nullptr : std::get_if<wire::MaskedSums>(&answered->answer.answer);
  return masked == nullptr ? nullptr : &masked->sums;
}

std::optional<Bytes> PackedSums(const WorkRecord& record) {
  const auto* sums = SumsOf(record);
  if (sums == nullptr) return std::nullopt;
  Bytes packed(sums->size() * sizeof(std::uint64_t));
  for (std::size_t i = 0; i < sums->size(); ++i) {
    StoreLe64(&packed[i * sizeof(std::uint64_t)], (*sums)[i]);
  }
  return packed;
}

WorkRecord RecordFrom(std::int64_t kind, std::string_view text, ByteView packed_sums) {
  WorkRecord record = RecordOf(kind);
  const json in = json::parse(text);
  std::visit([&](auto& r) { Read(in, r); }, record);
  if (auto* sums = SumsOf(record); sums != nullptr && !packed_sums.empty()) {
    if (packed_sums.size() % sizeof(std::uint64_t) != 0) throw Damaged();
    sums->resize(packed_sums.size() / sizeof(std::uint64_t));
    for (std::size_t i = 0; i < sums->size(); ++i) {
      (*sums)[i] = LoadLe64(&packed_sums[i * sizeof(std::uint64_t)]);
    }
  }
  return record;
}

// Reasons may quote what came from outside, which need not be UTF-8.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

absl::Status Ledger::Impl::KeepWork(const RunId& run, const WorkRecord& record) {
  if (std::holds_alternative<WorkOpened>(record)) RETURN_IF_ERROR(ForgetWork(run));
  return db.Execute(
      "INSERT INTO work (run, number, kind, record, sums) VALUES (?1, "
      "(SELECT coalesce(max(number), 0) + 1 FROM work WHERE run = ?1), ?2, ?3, ?4)",
      run.value, record.index(), Dump(std::visit([](const auto& r) { return Write(r); }, record)),
      PackedSums(record));
}

absl::Status Ledger::Impl::ForgetWork(const RunId& run) {
  return db.Execute("DELETE FROM work WHERE run = ?", run.value);
}

absl::StatusOr<std::vector<WorkRecord>> Ledger::Impl::LoadWork(const RunId& run) {
  ASSIGN_OR_RETURN(auto row,
                   db.Prepare("SELECT kind, record, sums FROM work WHERE run = ? ORDER BY number"));
  row.Bind(run.value);
  std::vector<WorkRecord> records;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return records;
    try {
      records.push_back(RecordFrom(row.Int(0), row.Text(1), row.Blob(2)));
    } catch (const std::exception&) {  // its text may quote the record
      return absl::DataLossError(StrCat("record ", records.size() + 1,
                                        " of the work under way of run \"", run.value,
                                        "\" is damaged; restore the ledger from a backup"));
    }
  }
}

}  // namespace consilium::coordinator
