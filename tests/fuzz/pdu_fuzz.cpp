#include "datasets/pacs/pdu.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace consilium;
using namespace consilium::datasets::pacs;

// What was understood is written as a PDU that is understood the same.
template <class Pdu, class Parse>
void CheckCanonical(const Pdu& parsed, Parse parse) {
  const Bytes written = Encode(parsed);
  FUZZ_EXPECT(written.size() >= kPduHeadBytes);
  const auto head = ParsePduHead(ByteView(written).first(kPduHeadBytes));
  FUZZ_EXPECT(head && head->length == written.size() - kPduHeadBytes);
  const auto again = parse(ByteView(written).subspan(kPduHeadBytes));
  FUZZ_EXPECT(again.ok());
  FUZZ_EXPECT(Encode(*again) == written);
}

}  // namespace

// Which PDU, then its body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::uint8_t which = input.Byte();
  const ByteView body = input.Rest();
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(body.size()));
  if (body.size() >= kPduHeadBytes) (void)ParsePduHead(body.first(kPduHeadBytes));
  if (which % 3 == 0) {
    if (const auto request = ParseAssociateRequest(body); request.ok()) {
      FUZZ_EXPECT(request->contexts.size() <= 128);
      CheckCanonical(*request, ParseAssociateRequest);
    }
  } else if (which % 3 == 1) {
    if (const auto accept = ParseAssociateAccept(body); accept.ok()) {
      CheckCanonical(*accept, ParseAssociateAccept);
    }
  } else if (const auto reject = ParseAssociateReject(body); reject.ok()) {
    FUZZ_EXPECT(!Explain(*reject, "CALLED", "CALLING").empty());
    CheckCanonical(*reject, ParseAssociateReject);
  }
  return 0;
}
