#include "common/crypto/signed_document.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/status.h"

namespace consilium::crypto {
namespace {

// Writing JSON recurses: a hostile file must not nest until the stack is full.
constexpr int kMostLevels = 32;

absl::StatusOr<nlohmann::json> ParseObject(const DocumentKind& kind, std::string_view text,
                                           int most_levels) {
  using Event = nlohmann::json::parse_event_t;
  bool too_deep = false;
  const auto shallow = [&](int depth, Event event, nlohmann::json&) {
    const bool opens = event == Event::object_start || event == Event::array_start;
    too_deep = too_deep || depth + (opens ? 1 : 0) > most_levels;
    return !too_deep;
  };
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), shallow,
                                              /*allow_exceptions=*/false);
  if (too_deep || !json.is_object()) {
    return absl::InvalidArgumentError(StrCat("a ", kind.label, " is a JSON object of at most ",
                                             kMostLevels, " levels, this is none"));
  }
  return json;
}

Bytes SignedText(const DocumentKind& kind, std::string_view compact) {
  const std::string text = StrCat("consilium ", kind.label, " v1\n", compact);
  const ByteView bytes = AsBytes(text);
  return Bytes(bytes.begin(), bytes.end());
}

std::string Write(const DocumentKind& kind, const nlohmann::json& object,
                  const Signature& signature) {
  return nlohmann::json{{std::string(kind.field), object}, {"signature", ToHex(signature)}}.dump(
             2) +
         "\n";
}

absl::StatusOr<Signature> SignatureIn(const DocumentKind& kind, const nlohmann::json& file) {
  const auto found = file.find("signature");
  if (found == file.end() || !found->is_string()) {
    return absl::InvalidArgumentError(
        StrCat("this is not a signed ", kind.label, ": \"signature\" is missing"));
  }
  ASSIGN_OR_RETURN(const Bytes bytes, FromHex(found->get_ref<const std::string&>()));
  Signature signature{};
  if (bytes.size() != signature.size()) {
    return absl::InvalidArgumentError(
        StrCat("the signature of the ", kind.label, " has ", bytes.size(), " bytes, not 64"));
  }
  std::copy(bytes.begin(), bytes.end(), signature.begin());
  return signature;
}

}  // namespace

absl::StatusOr<std::string> SignDocument(const Ed25519KeyPair& key, const DocumentKind& kind,
                                         std::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json object, ParseObject(kind, json, kMostLevels));
  ASSIGN_OR_RETURN(const Signature signature, Sign(key, SignedText(kind, object.dump())));
  return Write(kind, object, signature);
}

absl::StatusOr<std::string> VerifyDocument(const Ed25519PublicKey& key, const DocumentKind& kind,
                                           std::string_view file) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseObject(kind, file, kMostLevels + 1));
  const auto object = json.find(std::string(kind.field));
  if (object == json.end() || !object->is_object()) {
    return absl::InvalidArgumentError(
        StrCat("this is not a signed ", kind.label, ": \"", kind.field, "\" is missing"));
  }
  ASSIGN_OR_RETURN(const Signature signature, SignatureIn(kind, json));
  if (Write(kind, *object, signature) != file) {
    return absl::InvalidArgumentError(StrCat(
        "the ", kind.label, " is not in its canonical form; fetch it again, a copy was changed"));
  }
  std::string compact = object->dump();
  RETURN_IF_ERROR(
      WithContext(VerifySignature(key, SignedText(kind, compact), signature), kind.label));
  return compact;
}

}  // namespace consilium::crypto
