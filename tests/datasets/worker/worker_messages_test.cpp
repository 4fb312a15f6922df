#include <limits>

#include "datasets/worker/header_message.h"
#include "datasets/worker/message.h"
#include "datasets/worker/protocol.h"
#include "tests/catch.h"

namespace consilium::datasets::worker {
namespace {

dicom::Header SomeHeader() {
  dicom::Header header;
  header.transfer_syntax = dicom::TransferSyntax::kHtj2k;
  header.sop_instance_uid = "1.2.3";
  header.patient_id = "P 1";
  header.modality = "MG";
  header.patient_age_years = 61.5;
  header.slice_thickness_mm = -1;
  header.burned_in = true;
  header.rows = 3;
  header.columns = 70'000;
  header.frames = 12;
  header.samples = 3;
  header.kind = dicom::SampleKind::kDouble;
  header.bits_allocated = 64;
  header.photometric = dicom::Photometric::kYbrRct;
  header.row_spacing_mm = 0.07;
  return header;
}

std::vector<std::string> Words(ReplyParser& parser) {
  std::vector<std::string> words;
  for (const auto& reply : parser.replies()) {
    words.push_back(reply.ok() ? std::string(AsText(*reply)) : reply.refused().detail);
  }
  return words;
}

Bytes Text(std::string_view text) { return Bytes(text.begin(), text.end()); }

}  // namespace

TEST_CASE("A header is the same after the way to bytes and back") {
  const Bytes message = Encode(SomeHeader());
  const auto header = DecodeHeader(message);
  REQUIRE(header);
  CHECK(Encode(*header) == message);
  CHECK(header->patient_age_years == 61.5);
  CHECK(header->columns == 70'000);
  CHECK(header->photometric == dicom::Photometric::kYbrRct);
}

TEST_CASE("A header that is cut short, too long or impossible is none") {
  const Bytes message = Encode(SomeHeader());
  for (std::size_t size = 0; size < message.size(); ++size) {
    CHECK_FALSE(DecodeHeader(ByteView(message).first(size)));
  }
  Bytes longer = message;
  longer.push_back(0);
  CHECK_FALSE(DecodeHeader(longer));
  Bytes other_syntax = message;
  other_syntax[0] = 200;
  CHECK_FALSE(DecodeHeader(other_syntax));
  dicom::Header large = SomeHeader();
  large.rows = large.columns = 1 << 20;
  CHECK_FALSE(DecodeHeader(Encode(large)));
  dicom::Header empty = SomeHeader();
  empty.rows = 0;
  CHECK_FALSE(DecodeHeader(Encode(empty)));
  dicom::Header old = SomeHeader();
  old.patient_age_years = 1e9;
  CHECK_FALSE(DecodeHeader(Encode(old)));
}

TEST_CASE("Preprocessing is the same after the way to bytes and back") {
  for (const plan::Preset preset : {plan::Preset::kGeneric, plan::Preset::kMammography,
                                    plan::Preset::kUltrasound, plan::Preset::kPet}) {
    plan::Preprocessing preprocessing = plan::DefaultsOf(preset, 96);
    preprocessing.low = -1350.5;
    preprocessing.spacing_mm = 1.5;
    const auto decoded = DecodePreprocessing(Encode(preprocessing));
    REQUIRE(decoded);
    CHECK(*decoded == preprocessing);
  }
}

TEST_CASE("A message that announces more than it holds allocates nothing and fails") {
  MessageWriter writer;
  writer.U64(std::numeric_limits<std::uint64_t>::max() / 4);
  MessageReader floats(writer.bytes());
  std::vector<float> values;
  floats.Floats(values, std::numeric_limits<std::size_t>::max());
  CHECK(values.empty());
  CHECK_FALSE(floats.Done());
  MessageReader text(writer.bytes());
  std::string words;
  text.Text(words);
  CHECK(words.empty());
  CHECK(text.failed());
}

TEST_CASE("Replies are the same in whatever pieces they come") {
  Bytes stream;
  AppendReply(Text("first"), &stream);
  AppendReply(Refused{Refusal::kDamaged, "why"}, &stream);
  AppendReply(Bytes{}, &stream);
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    ReplyParser parser(3, 5);
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      CHECK_FALSE(parser.Complete());
      CHECK(parser.Feed(ByteView(stream).subspan(at, std::min(piece, stream.size() - at))));
    }
    CHECK(parser.Complete());
    CHECK(Words(parser) == std::vector<std::string>{"first", "why", ""});
  }
}

TEST_CASE("Replies that are too many, too long or of no known reason end the talk") {
  Bytes one;
  AppendReply(Text("first"), &one);
  CHECK_FALSE(ReplyParser(1, 4).Feed(one));
  Bytes two = one;
  two.insert(two.end(), one.begin(), one.end());
  CHECK_FALSE(ReplyParser(1, 5).Feed(two));
  Bytes strange = one;
  strange[0] = 250;
  CHECK_FALSE(ReplyParser(1, 5).Feed(strange));
  Bytes endless(kReplyHeadBytes);
  StoreLe32(endless.data(), static_cast<std::uint32_t>(Refusal::kDamaged));
  StoreLe64(endless.data() + 4, kLongestDetail + 1);
  CHECK_FALSE(ReplyParser(1, 1 << 20).Feed(endless));
}

TEST_CASE("Replies to many calls are together no more than one program should hold") {
  Bytes half;
  AppendReply(Bytes(kMostReplyBytes / 2), &half);
  ReplyParser parser(3, kMostReplyBytes);
  CHECK(parser.Feed(half));
  CHECK(parser.Feed(half));
  CHECK_FALSE(parser.Feed(half));
}

TEST_CASE("A request's head is taken only when it is sound") {
  std::uint8_t bytes[kRequestHeadBytes];
  const auto sound = [&](const RequestHead& head) {
    Store(head, bytes);
    return LoadRequestHead(bytes).has_value();
  };
  CHECK(sound({.name_size = 5, .calls = 32, .files_per_call = 1, .arguments_size = 100}));
  CHECK(sound({.name_size = 5, .calls = 1, .files_per_call = kMostDescriptors}));
  CHECK_FALSE(sound({.name_size = 5, .calls = 2, .files_per_call = kMostDescriptors}));
  CHECK_FALSE(sound({.name_size = 5, .calls = 1u << 31, .files_per_call = 2}));
  CHECK_FALSE(sound({.name_size = kLongestName + 1, .calls = 1}));
  CHECK_FALSE(sound({.name_size = 1, .calls = 1, .arguments_size = kMostArgumentBytes + 1}));
}

}  // namespace consilium::datasets::worker
