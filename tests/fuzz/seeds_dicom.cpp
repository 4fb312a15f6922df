// Of archives, compressed frames and workers. Segmentations, structure sets and reports come from
// tests/datasets/volumes_files.h.

#include <algorithm>

#include "datasets/deidentification/task_message.h"
#include "datasets/dicom/jpeg2000.h"
#include "datasets/pacs/part10.h"
#include "datasets/pacs/pdu.h"
#include "datasets/volumes/instance_message.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/protocol.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seeds.h"

namespace consilium::fuzz {
namespace {

using namespace datasets;

constexpr char kCtImage[] = "1.2.840.10008.5.1.4.1.1.2", kExplicit[] = "1.2.840.10008.1.2.1";

Bytes Behind(std::uint8_t first, ByteView rest) {
  Bytes input(1 + rest.size(), first);
  std::copy(rest.begin(), rest.end(), input.begin() + 1);
  return input;
}

void SeedArchives() {
  const pacs::AssociateRequest request{.called = "ARCHIVE",
                                       .calling = "SITE",
                                       .contexts = {{1, kCtImage, {kExplicit, "1.2.840.10008.1.2"}},
                                                    {3, "1.2.840.10008.1.1", {kExplicit}}},
                                       .scp_roles = {kCtImage}};
  const pacs::AssociateAccept accept{.called = "ARCHIVE",
                                     .calling = "SITE",
                                     .contexts = {{1, 0, kExplicit}, {3, 3, ""}},
                                     .scp_roles = {kCtImage}};
  const auto body = [](const Bytes& pdu) { return ByteView(pdu).subspan(pacs::kPduHeadBytes); };
  Seed("pdu", "request", Behind(0, body(pacs::Encode(request))));
  Seed("pdu", "accept", Behind(1, body(pacs::Encode(accept))));
  Seed("pdu", "reject", Behind(2, body(pacs::Encode(pacs::AssociateReject{1, 1, 3}))));
  Bytes file = pacs::EncodeFileMeta({kCtImage, "1.2.3", kExplicit, "SITE"});
  const std::string data_set = std::string("\x08\0\x16\0UI\x1a\0", 8) + kCtImage +
                               std::string(
                                   "\0\x08\0\x18\0UI\x06\0"
                                   "1.2.3\0",
                                   15);
  file.insert(file.end(), data_set.begin(), data_set.end());
  Seed("part10", "ct", file);
  Seed("multipart", "two-parts",
       "\5preamble\r\n--b\r\nContent-Type: application/dicom\r\n\r\nfirst\r\n--b\r\n\r\nsecond\r\n"
       "--b--\r\n");
  Seed("multipart", "type", "\5multipart/related; type=\"application/dicom\"; boundary=abc");
}

void SeedCodestreams() {
  for (const int samples : {1, 3}) {
    dicom::Header header;
    header.rows = header.columns = 12;
    header.samples = samples;
    header.bits_allocated = samples == 1 ? 16 : 8;
    header.bits_stored = samples == 1 ? 12 : 8;
    Bytes pixels(static_cast<std::size_t>(144 * samples * header.bits_allocated / 8));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = static_cast<std::uint8_t>(header.bits_allocated == 8 ? i * 5 : i % 2 * (i % 13));
    }
    Seed("jpeg2000", StrCat("samples-", samples), dicom::EncodeJpeg2000(header, pixels));
  }
}

void SeedAnswers() {
  Bytes replies;
  worker::AppendReply(Bytes{1, 2, 3}, &replies);
  worker::AppendReply(Refused{Refusal::kDamaged, "why"}, &replies);
  worker::AppendReply(Bytes{}, &replies);
  Seed("worker_answer", "replies", Behind(0, replies));
  dicom::Header header;
  header.sop_instance_uid = "1.2.3";
  header.rows = header.columns = 8;
  header.patient_age_years = 50;
  Seed("worker_answer", "header", Behind(1, worker::Encode(header)));
  volumes::Series series;
  series.modality = "PT";
  series.sop_class_uids = {kCtImage};
  series.pet.emplace().weight_kg = 70;
  volumes::Slice slice;
  slice.rows = slice.columns = 8;
  series.slices = {slice, slice};
  Seed("worker_answer", "instance", Behind(2, volumes::Encode(series)));
  Seed("worker_answer", "examined",
       Behind(3, deidentification::Encode({{"P-ABC", "1.2", "1.3", "1.4"}, true})));
  Seed("worker_answer", "masks", Behind(4 + 5 * 2, deidentification::Encode({{0, 1}, {1}})));
}

}  // namespace

void SeedDicom() {
  SeedArchives();
  SeedCodestreams();
  SeedAnswers();
}

}  // namespace consilium::fuzz
