#include "site_agent/given_answers.h"

#include <algorithm>

#include "common/base/status.h"

namespace consilium::site_agent {
namespace {

class Writer {
 public:
  void Number(std::size_t number) {
    text_.resize(text_.size() + 4);
    StoreLe32(text_.data() + text_.size() - 4, static_cast<std::uint32_t>(number));
  }
  void Add(ByteView bytes) { text_.insert(text_.end(), bytes.begin(), bytes.end()); }
  void Name(const SiteId& site) {
    Number(site.value.size());
    Add(AsBytes(site.value));
  }
  void Shares(const std::map<SiteId, secagg::Share>& shares) {
    Number(shares.size());
    for (const auto& [site, share] : shares) {
      Name(site);
      Add(share);
    }
  }
  crypto::Secret Take() {
    crypto::Secret secret = crypto::Secret::CopyOf(text_);
    crypto::Cleanse(text_);
    return secret;
  }

 private:
  Bytes text_;
};

class Reader {
 public:
  explicit Reader(ByteView text) : rest_(text) {}

  std::size_t Number() {
    const ByteView bytes = Take(4);
    return bytes.size() == 4 ? LoadLe32(bytes.data()) : 0;
  }
  SiteId Name() { return SiteId(std::string(AsText(Take(Number())))); }
  template <std::size_t size>
  void Fill(std::array<std::uint8_t, size>& out) {
    const ByteView bytes = Take(size);
    std::copy(bytes.begin(), bytes.end(), out.begin());
  }
  void Shares(std::map<SiteId, secagg::Share>& shares) {
    for (std::size_t left = Number(); left > 0 && whole_; --left) {
      const SiteId site = Name();
      Fill(shares[site]);
    }
  }
  bool ended() const { return whole_ && rest_.empty(); }
  bool whole() const { return whole_; }

 private:
  ByteView Take(std::size_t size) {
    whole_ = whole_ && size <= rest_.size();
    if (!whole_) return {};
    const ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  ByteView rest_;
  bool whole_ = true;
};

}  // namespace

crypto::Secret WriteGivenAnswers(const GivenAnswers& given) {
  Writer writer;
  writer.Add(given.transcript.bytes);
  writer.Number(given.survivors.size());
  for (const SiteId& site : given.survivors) writer.Name(site);
  writer.Shares(given.shares.seed_shares);
  writer.Shares(given.shares.mask_key_shares);
  return writer.Take();
}

absl::StatusOr<GivenAnswers> ReadGivenAnswers(ByteView text) {
  GivenAnswers given;
  Reader reader(text);
  reader.Fill(given.transcript.bytes);
  for (std::size_t left = reader.Number(); left > 0 && reader.whole(); --left) {
    given.survivors.insert(reader.Name());
  }
  reader.Shares(given.shares.seed_shares);
  reader.Shares(given.shares.mask_key_shares);
  if (!reader.ended()) {
    return absl::DataLossError("the answers kept of a secure session are damaged");
  }
  return given;
}

absl::StatusOr<std::optional<wire::SecureAnswer>> AnswerAgain(const wire::SecureNotice& notice,
                                                              const Digest& context,
                                                              const GivenAnswers& given) {
  if (const auto* n = std::get_if<wire::SecureNotice::Members>(&notice.notice)) {
    if (secagg::Transcript(context, n->members) == given.transcript) return std::nullopt;
    return absl::PermissionDeniedError(
        "asked for shares again after unmasking, with other members");
  }
  if (const auto* n = std::get_if<wire::SecureNotice::Survivors>(&notice.notice)) {
    if (n->sites == given.survivors) return std::nullopt;
    return absl::PermissionDeniedError(
        "asked again after unmasking, with another set of survivors");
  }
  if (std::holds_alternative<wire::SecureNotice::Signatures>(notice.notice)) {
    return wire::SecureAnswer{notice.session, given.shares};
  }
  return std::nullopt;
}

}  // namespace consilium::site_agent
