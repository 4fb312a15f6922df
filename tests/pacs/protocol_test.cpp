// What needs no archive: encoding and parsing, the folder of received instances, queries.

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/pacs/element_set.h"
#include "datasets/pacs/http_client.h"
#include "datasets/pacs/instance_store.h"
#include "datasets/pacs/multipart.h"
#include "datasets/pacs/part10.h"
#include "datasets/pacs/pdu.h"
#include "datasets/pacs/pull.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/pacs/instances.h"

namespace consilium::datasets::pacs {
namespace {

AssociateRequest SomeRequest() {
  AssociateRequest request;
  request.called = "PACS";
  request.calling = "CONSILIUM";
  request.contexts = {{1, kCtClass, {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"}},
                      {3, std::string(kVerification), {"1.2.840.10008.1.2"}}};
  request.scp_roles = {kCtClass};
  return request;
}

TEST_CASE("an association request is parsed as it was encoded") {
  const Bytes pdu = Encode(SomeRequest());
  const auto head = ParsePduHead(pdu);
  REQUIRE(head.has_value());
  CHECK(head->type == PduType::kAssociateRequest);
  CHECK(head->length == pdu.size() - kPduHeadBytes);
  const auto parsed = ParseAssociateRequest(ByteView(pdu).subspan(kPduHeadBytes));
  REQUIRE(parsed.ok());
  CHECK(parsed->called == "PACS");
  CHECK(parsed->calling == "CONSILIUM");
  REQUIRE(parsed->contexts.size() == 2);
  CHECK(parsed->contexts[0].transfer_syntaxes.size() == 2);
  CHECK(parsed->contexts[1].abstract_syntax == kVerification);
  CHECK(parsed->scp_roles == std::vector<std::string>{kCtClass});
  CHECK(parsed->max_pdu_bytes == kOurMaxPduBytes);
}

TEST_CASE("a damaged association PDU is refused or read, and never runs over its end") {
  const Bytes whole = Encode(SomeRequest());
  for (std::size_t size = 0; size + kPduHeadBytes < whole.size(); ++size) {
    const Bytes body(whole.begin() + kPduHeadBytes, whole.begin() + kPduHeadBytes + size);
    if (size < 68) CHECK_FALSE(ParseAssociateRequest(body).ok());
    ParseAssociateAccept(body).IgnoreError();
  }
  const std::uint64_t seed = 11;
  INFO("seed " << seed);
  SeededRandom random(seed);
  for (int round = 0; round < 2000; ++round) {
    Bytes body(whole.begin() + kPduHeadBytes, whole.end());
    for (int change = 0; change < 4; ++change) {
      body[random.Below(body.size())] = static_cast<std::uint8_t>(random());
    }
    ParseAssociateRequest(body).IgnoreError();
    ParseAssociateAccept(body).IgnoreError();
    ElementSet::Parse(body).IgnoreError();
    ParseFileMeta(body).IgnoreError();
    FindNamedInstance(body, "1.2.840.10008.1.2.1");
  }
}

TEST_CASE("why an association was refused is said with what to ask for") {
  CHECK_THAT(Explain({1, 1, 3}, "PACS", "US"),
             ContainsText("does not know the calling AE title US"));
  CHECK_THAT(Explain({1, 1, 7}, "PACS", "US"), ContainsText("it is not called PACS"));
  CHECK_THAT(Explain({2, 3, 2}, "PACS", "US"), ContainsText("Try again later"));
}

TEST_CASE("an element set is parsed as it was encoded, and sequences are stepped over") {
  ElementSet set;
  set.SetUid(0x0020000D, "1.2.3").SetText(0x00080060, "CT").SetUnsigned16(0x00280010, 512);
  Bytes bytes = set.Encode();
  // (0040,0275) of undefined length with one item of undefined length that holds one element.
  const Bytes sequence = {0x40, 0,    0x75, 0x02, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0,
                          0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 8,    0,    0x60, 0,    2,    0,
                          0,    0,    'M',  'R',  0xFE, 0xFF, 0x0D, 0xE0, 0,    0,    0,
                          0,    0xFE, 0xFF, 0xDD, 0xE0, 0,    0,    0,    0};
  bytes.insert(bytes.end(), sequence.begin(), sequence.end());
  const auto parsed = ElementSet::Parse(bytes);
  REQUIRE(parsed.ok());
  CHECK(parsed->Text(0x0020000D) == "1.2.3");
  CHECK(parsed->Text(0x00080060) == "CT");
  CHECK(parsed->Unsigned16(0x00280010) == 512);
  bytes.pop_back();
  CHECK_FALSE(ElementSet::Parse(bytes).ok());
}

TEST_CASE("multipart answers are the same wherever the network cuts them") {
  const std::string text =
      "\r\n--b1\r\nContent-Type: application/dicom\r\n\r\nfirst\r\n--b\r\n--b1  \r\n\r\n"
      "\r\n--b1--\r\nafterwards";
  const auto parts_of = [&](std::size_t piece) {
    std::vector<std::string> parts;
    MultipartParser parser("b1", {[&] {
                                    parts.emplace_back();
                                    return absl::OkStatus();
                                  },
                                  [&](ByteView bytes) {
                                    parts.back() += AsText(bytes);
                                    return absl::OkStatus();
                                  },
                                  [] { return absl::OkStatus(); }});
    for (std::size_t at = 0; at < text.size(); at += piece) {
      CHECK(parser.Feed(AsBytes(std::string_view(text).substr(at, piece))).ok());
    }
    CHECK(parser.Finish().ok());
    return parts;
  };
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    const std::vector<std::string> parts = parts_of(piece);
    REQUIRE(parts.size() == 2);
    CHECK(parts[0] == "first\r\n--b");
    CHECK(parts[1].empty());
  }
  CHECK(*MultipartBoundary("multipart/related; type=\"application/dicom\"; boundary=\"a b\"") ==
        "a b");
  CHECK(*MultipartBoundary("Multipart/Related;boundary=x;type=y") == "x");
  CHECK_FALSE(MultipartBoundary("text/html").ok());
}

TEST_CASE("a received instance is a file only once it is whole, under a name of ours") {
  const TemporaryFolder folder;
  auto store = InstanceStore::Open(folder / "in", 1 << 20);
  REQUIRE(store.ok());
  const TestInstance instance;
  const InstanceHead head{kCtClass, instance.instance, std::string(kImplicitLittleEndian), "PACS"};
  const Bytes data_set = DataSetOf(instance);
  {
    auto incoming = (*store)->Begin(head);
    REQUIRE(incoming.ok());
    REQUIRE(incoming->Append(data_set).ok());
    CHECK(FilesBelow(folder / "in").empty());
  }
  CHECK_FALSE((*store)->Has(instance.instance));
  CHECK(std::distance(fs::directory_iterator(folder / "in/.incoming"), {}) == 1);  // the lock
  {
    auto incoming = (*store)->Begin(head);
    REQUIRE(incoming.ok());
    REQUIRE(incoming->Append(data_set).ok());
    REQUIRE(incoming->Commit().ok());
  }
  CHECK((*store)->Has(instance.instance));
  const auto files = FilesBelow(folder / "in");
  REQUIRE(files.size() == 1);
  CHECK(files[0].string().find(instance.instance) == std::string::npos);
  CHECK(PixelHashes(folder / "in").contains(instance.instance));
  CHECK(TransferSyntaxes(folder / "in").at(instance.instance) == kImplicitLittleEndian);
  // A second one of the same name adds nothing.
  auto again = (*store)->Begin(head);
  REQUIRE(again->Append(data_set).ok());
  CHECK(again->Commit().ok());
  CHECK((*store)->arrived() == 1);
}

TEST_CASE("a store refuses what does not name itself as announced, is too large, or unknown") {
  const TemporaryFolder folder;
  auto store = InstanceStore::Open(folder / "in", 4096);
  REQUIRE(store.ok());
  const std::string implicit(kImplicitLittleEndian);
  const Bytes data_set = DataSetOf({});
  CHECK_FALSE((*store)->Begin({kCtClass, "../../etc/passwd", implicit, ""}).ok());
  CHECK_FALSE((*store)->Begin({std::string(kVerification), "2.25.111", implicit, ""}).ok());
  CHECK_FALSE((*store)->Begin({kCtClass, "2.25.111", "1.2.840.10008.1.2.4.100", ""}).ok());
  auto other = (*store)->Begin({kCtClass, "2.25.112", implicit, ""});
  REQUIRE(other.ok());
  REQUIRE(other->Append(data_set).ok());
  CHECK(other->Commit().code() == absl::StatusCode::kInvalidArgument);
  auto large = (*store)->Begin({kCtClass, "2.25.111", implicit, ""});
  CHECK(large->Append(Bytes(5000)).code() == absl::StatusCode::kOutOfRange);
  CHECK_FALSE(InstanceStore::Open(folder / "in").ok());  // one process at a time
}

TEST_CASE("what a killed process left half-written is gone at the next start") {
  const TemporaryFolder folder;
  REQUIRE(EnsureFolder(folder / "in/.incoming").ok());
  REQUIRE(WriteFileDurably(folder / "in/.incoming/abc.1.tmp", std::string_view("half")).ok());
  REQUIRE(InstanceStore::Open(folder / "in").ok());
  CHECK_FALSE(Exists(folder / "in/.incoming/abc.1.tmp"));
}

TEST_CASE("every transfer syntax that our reader names is one that we ask an archive for") {
  using dicom::TransferSyntax;
  const auto& accepted = AcceptedTransferSyntaxes();
  for (int i = 0; i <= static_cast<int>(TransferSyntax::kJpegLsNearLossless); ++i) {
    const std::string uid(dicom::Uid(static_cast<TransferSyntax>(i)));
    INFO(uid);
    CHECK(std::find(accepted.begin(), accepted.end(), uid) != accepted.end());
  }
}

TEST_CASE("descriptions match with wild cards, whatever their case") {
  CHECK(Matches("CT Thorax nativ", "*thorax*"));
  CHECK(Matches("abc", "a?c"));
  CHECK(Matches("aXbXc", "a*b*c"));
  CHECK_FALSE(Matches("abc", "ab"));
  CHECK_FALSE(Matches("", "?"));
  CHECK(Matches("", "*"));
}

TEST_CASE("a query that cannot be meant is refused before anybody is asked") {
  Query query;
  CHECK(query.empty());
  query.since = "20240231";
  CHECK_THAT(std::string(CheckQuery(query).message()), ContainsText("is no date"));
  query.since = "20240301";
  query.until = "20240229";
  CHECK_THAT(std::string(CheckQuery(query).message()), ContainsText("after the last"));
  query = {};
  query.patient_ids = {"*"};
  CHECK_FALSE(CheckQuery(query).ok());
  query = {};
  query.study_uids = {"1.2.3\\4"};
  CHECK_FALSE(CheckQuery(query).ok());
}

TEST_CASE("credentials go over https, and come from files that nobody else may read") {
  const TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "token", std::string_view("secret\n"), 0644).ok());
  DicomwebPeer peer;
  peer.url = "http://pacs.example/dicom-web";
  peer.bearer_token = folder / "token";
  const auto message = [&] { return std::string(HttpClient::Open(peer, {}).status().message()); };
  CHECK_THAT(message(), ContainsText("use https"));
  peer.url = "https://pacs.example/dicom-web";
  CHECK_THAT(message(), ContainsText("chmod 600"));
  peer.url = "https://me:secret@pacs.example/";
  CHECK_THAT(message(), ContainsText("come from a file"));
  CHECK(UrlEncoded("A/1 ä") == "A%2F1%20%C3%A4");
}

}  // namespace
}  // namespace consilium::datasets::pacs
