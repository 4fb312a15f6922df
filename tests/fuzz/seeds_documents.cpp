#include "common/crypto/certificates.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/published_model.h"
#include "tests/fuzz/seeds.h"

namespace consilium::fuzz {
namespace {

void SeedCertificates() {
  const Time now{FromSeconds(1'800'000'000)};
  const auto authority = *crypto::MakeAuthority("lung-network", now, 3650);
  const auto request = *crypto::MakeRequest("north");
  Seed("certificate", "authority", authority.certificate);
  Seed("certificate", "request", request.pem);
  Seed("certificate", "member",
       *crypto::SignRequest(authority, request.pem, "north", "site", now, 30));
}

}  // namespace

void SeedDocuments() {
  const PublishedModel published = PublishedModel::Make();
  const std::string_view roster = published.roster;
  Seed("roster", "file", roster);
  // The object under "roster", to be signed again.
  const std::size_t begin = roster.find('{', 1),
                    end = roster.rfind('}', roster.rfind("\"signature\""));
  Seed("roster", "object", "s" + std::string(roster.substr(begin, end - begin + 1)));
  Seed("signed_document", "record", std::string(4, '\0') + published.record);
  Seed("signed_document", "object",
       std::string(4, '\5') + R"({"model": "00", "a": [1, {"b": -2.5e3}]})");
  Seed("model_verification", "record", "r" + published.record);
  Seed("model_verification", "log", published.log);
  Seed("model_verification", "unchanged", "c{}");
  Seed("model_verification", "secure",
       R"(c{"secure": {"threshold": 2, "survivors": ["east", "north"]}})");
  Seed("model_verification", "number", R"(c{"log": {"number": 1}, "researcher": {"name": "bob"}})");
  SeedCertificates();
  Seed("envelope", "whole", Bytes(37));
  Bytes changed(39);
  changed[37] = 4, changed[38] = 1;
  Seed("envelope", "changed", changed);
}

}  // namespace consilium::fuzz
