#include "common/secagg/site_state.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::secagg {
namespace {

constexpr std::string_view kMagic = "consilium secagg site state";
constexpr std::uint8_t kVersion = 1;

// Grows without leaving copies of secrets behind.
class Writer {
 public:
  Writer() : buffer_(4096) {}

  void Raw(ByteView bytes) {
    if (size_ + bytes.size() > buffer_.size()) Grow(size_ + bytes.size());
    std::copy(bytes.begin(), bytes.end(), buffer_.RevealForWriting().begin() + size_);
    size_ += bytes.size();
  }
  void Field(ByteView bytes) {
    Length(bytes.size());
    Raw(bytes);
  }
  void Text(std::string_view text) { Field(AsBytes(text)); }
  void Number(std::uint64_t number) {
    Length(sizeof number);
    Length(number);
  }
  ByteView written() const { return buffer_.Reveal().first(size_); }

 private:
  void Length(std::uint64_t number) {
    std::uint8_t bytes[sizeof number];
    StoreLe64(bytes, number);
    Raw(bytes);
  }
  void Grow(std::size_t least) {
    crypto::Secret larger(std::max(least, 2 * buffer_.size()));
    std::copy_n(buffer_.Reveal().begin(), size_, larger.RevealForWriting().begin());
    buffer_ = std::move(larger);
  }

  crypto::Secret buffer_;
  std::size_t size_ = 0;
};

// After the first field that does not fit everything reads as empty and ok() is false.
class Reader {
 public:
  explicit Reader(ByteView rest) : rest_(rest) {}

  ByteView Field() {
    if (!ok_ || rest_.size() < 8) return Fail();
    const std::uint64_t size = LoadLe64(rest_.data());
    if (size > rest_.size() - 8) return Fail();
    const ByteView field = rest_.subspan(8, size);
    rest_ = rest_.subspan(8 + size);
    return field;
  }
  ByteView Field(std::size_t size) {
    const ByteView field = Field();
    return field.size() == size ? field : Fail();
  }
  // Of this size, or wiped.
  crypto::Secret SecretOf(std::size_t size) {
    const ByteView field = Field();
    return crypto::Secret::CopyOf(field.empty() || field.size() == size ? field : Fail());
  }
  std::string Text() { return std::string(AsText(Field())); }
  SiteId Site() { return SiteId(Text()); }
  std::uint64_t Number() {
    const ByteView field = Field(8);
    return ok_ ? LoadLe64(field.data()) : 0;
  }
  std::uint32_t Number32() {
    const std::uint64_t number = Number();
    if (number >> 32 != 0) Fail();
    return static_cast<std::uint32_t>(number);
  }
  double Real() { return std::bit_cast<double>(Number()); }
  // Of a list, none of which is longer than the most sites.
  std::size_t Count() {
    const std::uint64_t count = Number();
    if (count > kMostSites) Fail();
    return ok_ ? count : 0;
  }
  template <std::size_t kSize>
  void Array(std::array<std::uint8_t, kSize>& array) {
    const ByteView field = Field(kSize);
    if (ok_) std::copy(field.begin(), field.end(), array.begin());
  }

  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && rest_.empty(); }

 private:
  ByteView Fail() {
    ok_ = false;
    return {};
  }

  ByteView rest_;
  bool ok_ = true;
};

void Write(Writer& out, const SessionConfig& config) {
  out.Text(config.federation);
  out.Text(config.key.attempt.run.value);
  out.Number(config.key.attempt.round);
  out.Number(config.key.attempt.attempt);
  out.Number(static_cast<std::uint64_t>(config.key.purpose));
  out.Field(config.model.bytes);
  out.Field(config.roster.bytes);
  out.Number(config.cohort_size);
  out.Number(config.threshold);
  out.Number(config.values);
  out.Number(config.sums);
  out.Field(config.layout.bytes);
  out.Number(std::bit_cast<std::uint64_t>(config.clip_norm));
  out.Number(std::bit_cast<std::uint64_t>(config.total_weight));
  out.Text(config.weight_rule);
  out.Text(config.privacy);
}

SessionConfig ReadConfig(Reader& in) {
  SessionConfig config;
  config.federation = in.Text();
  config.key.attempt.run = RunId(in.Text());
  config.key.attempt.round = in.Number32();
  config.key.attempt.attempt = in.Number32();
  config.key.purpose = static_cast<Purpose>(in.Number());
  in.Array(config.model.bytes);
  in.Array(config.roster.bytes);
  config.cohort_size = in.Number32();
  config.threshold = in.Number32();
  config.values = in.Number();
  config.sums = in.Number32();
  in.Array(config.layout.bytes);
  config.clip_norm = in.Real();
  config.total_weight = in.Real();
  config.weight_rule = in.Text();
  config.privacy = in.Text();
  return config;
}

void Write(Writer& out, const Advertisement& advertisement) {
  out.Text(advertisement.site.value);
  out.Field(advertisement.share_key);
  out.Field(advertisement.mask_key);
  out.Field(advertisement.seed_hash.bytes);
  out.Field(advertisement.signature);
}

Advertisement ReadAdvertisement(Reader& in) {
  Advertisement advertisement;
  advertisement.site = in.Site();
  in.Array(advertisement.share_key);
  in.Array(advertisement.mask_key);
  in.Array(advertisement.seed_hash.bytes);
  in.Array(advertisement.signature);
  return advertisement;
}

void Write(Writer& out, const std::map<SiteId, crypto::Secret>& secrets) {
  out.Number(secrets.size());
  for (const auto& [site, secret] : secrets) {
    out.Text(site.value);
    out.Field(secret.Reveal());
  }
}

std::map<SiteId, crypto::Secret> ReadSecrets(Reader& in, std::size_t size) {
  std::map<SiteId, crypto::Secret> secrets;
  for (std::size_t left = in.Count(); left > 0; --left) {
    SiteId site = in.Site();
    secrets.insert_or_assign(std::move(site), crypto::Secret::CopyOf(in.Field(size)));
  }
  return secrets;
}

void Write(Writer& out, const std::optional<Digest>& digest) {
  out.Number(digest.has_value());
  if (digest) out.Field(digest->bytes);
}

std::optional<Digest> ReadDigest(Reader& in) {
  if (in.Number() == 0) return std::nullopt;
  Digest digest;
  in.Array(digest.bytes);
  return digest;
}

void WriteLists(Writer& out, const SiteState& state) {
  out.Number(state.members.size());
  for (const Advertisement& member : state.members) Write(out, member);
  out.Number(state.sent.size());
  for (const SealedShare& share : state.sent) {
    out.Text(share.to.value);
    out.Field(share.sealed);
  }
}

void ReadLists(Reader& in, SiteState& state) {
  for (std::size_t left = in.Count(); left > 0; --left) {
    state.members.push_back(ReadAdvertisement(in));
  }
  for (std::size_t left = in.Count(); left > 0; --left) {
    SealedShare share{state.own.site, in.Site(), {}};
    const ByteView sealed = in.Field(kSealedShareBytes);
    share.sealed.assign(sealed.begin(), sealed.end());
    state.sent.push_back(std::move(share));
  }
}

void WriteSurvivors(Writer& out, const std::optional<std::set<SiteId>>& survivors) {
  out.Number(survivors.has_value());
  if (!survivors) return;
  out.Number(survivors->size());
  for (const SiteId& site : *survivors) out.Text(site.value);
}

std::optional<std::set<SiteId>> ReadSurvivors(Reader& in) {
  if (in.Number() == 0) return std::nullopt;
  std::set<SiteId> survivors;
  for (std::size_t left = in.Count(); left > 0; --left) survivors.insert(in.Site());
  return survivors;
}

absl::Status Damaged(std::string_view how) {
  return absl::DataLossError(StrCat("the saved state of a secure aggregation session ", how,
                                    ": it cannot go on, the coordinator will make a new attempt"));
}

}  // namespace

void SiteState::WipeStart() {
  share_key = crypto::Secret();
  mask_key = crypto::Secret();
  seed = crypto::Secret();
  coefficients = crypto::Secret();
}

void SiteState::Wipe() {
  WipeStart();
  opening_keys.clear();
  masks.clear();
  held.clear();
}

crypto::Secret SaveState(const SiteState& state) {
  Writer out;
  out.Raw(AsBytes(kMagic));
  out.Raw({&kVersion, 1});
  Write(out, state.config);
  Write(out, state.own);
  out.Text(state.over);
  out.Field(state.share_key.Reveal());
  out.Field(state.mask_key.Reveal());
  out.Field(state.seed.Reveal());
  out.Field(state.coefficients.Reveal());
  WriteLists(out, state);
  Write(out, state.opening_keys);
  Write(out, state.masks);
  Write(out, state.held);
  Write(out, state.taken);
  Write(out, state.upload);
  WriteSurvivors(out, state.survivors);
  out.Raw(crypto::Sha256(out.written()).bytes);
  return crypto::Secret::CopyOf(out.written());
}

absl::StatusOr<SiteState> ReadState(ByteView saved) {
  const std::size_t header = kMagic.size() + 1, checksum = sizeof(Digest::bytes);
  if (saved.size() < header + checksum) return Damaged("is cut off");
  const ByteView body = saved.first(saved.size() - checksum);
  const Digest digest = crypto::Sha256(body);
  if (!std::equal(digest.bytes.begin(), digest.bytes.end(), saved.end() - checksum)) {
    return Damaged("is damaged (its checksum is another one)");
  }
  if (AsText(body.first(kMagic.size())) != kMagic) return Damaged("is another kind of file");
  if (body[kMagic.size()] != kVersion) {
    return Damaged(StrCat("has version ", body[kMagic.size()], ", not ", kVersion));
  }
  Reader in(body.subspan(header));
  SiteState state;
  state.config = ReadConfig(in);
  state.own = ReadAdvertisement(in);
  state.over = in.Text();
  state.share_key = in.SecretOf(32);
  state.mask_key = in.SecretOf(32);
  state.seed = in.SecretOf(32);
  const std::uint64_t drawn = 2 * kShareBytes * (std::uint64_t{state.config.threshold} - 1);
  state.coefficients = in.SecretOf(drawn);
  ReadLists(in, state);
  state.opening_keys = ReadSecrets(in, 32);
  state.masks = ReadSecrets(in, 32);
  state.held = ReadSecrets(in, 2 * kShareBytes);
  state.taken = ReadDigest(in);
  state.upload = ReadDigest(in);
  state.survivors = ReadSurvivors(in);
  if (!in.AtEnd()) return Damaged("does not have the fields of its version");
  return state;
}

}  // namespace consilium::secagg
