#include "datasets/deidentification/safe_private.h"

#include <algorithm>
#include <iterator>

namespace consilium::datasets::deidentification {
namespace {

struct SafePrivate {
  std::string_view creator;
  std::uint16_t group;
  std::uint8_t element;
  std::string_view vr;
};

constexpr SafePrivate kSafe[] = {
    {"Philips PET Private Group", 0x7053, 0x00, "DS"},  // SUV scale factor
    {"Philips PET Private Group", 0x7053, 0x09, "DS"},  // activity concentration scale factor
    {"Philips Imaging DD 001", 0x2001, 0x03, "FL"},     // diffusion b-factor
    {"Philips Imaging DD 001", 0x2001, 0x04, "CS"},     // diffusion direction
    {"ELSCINT1", 0x00e1, 0x21, "DS"},                   // dose length product
    {"ELSCINT1", 0x00e1, 0x50, "DS"},                   // acquisition duration
    {"ELSCINT1", 0x01e1, 0x26, "CS"},                   // phantom type
    {"ELSCINT1", 0x01f1, 0x01, "CS"},                   // acquisition type
    {"ELSCINT1", 0x01f1, 0x07, "DS"},                   // table velocity
    {"ELSCINT1", 0x01f1, 0x26, "DS"},                   // pitch
    {"ELSCINT1", 0x01f1, 0x27, "DS"},                   // rotation time
    {"GEMS_ACQU_01", 0x0019, 0x23, "DS"},               // table speed
    {"GEMS_ACQU_01", 0x0019, 0x24, "DS"},               // mid scan time
    {"GEMS_ACQU_01", 0x0019, 0x27, "DS"},               // rotation speed
    {"GEMS_PARM_01", 0x0043, 0x27, "SH"},               // scan pitch ratio
    {"GEMS_PARM_01", 0x0043, 0x39, "IS"},               // b-value
    {"GEMS_HELIOS_01", 0x0045, 0x01, "SS"},             // number of macro rows in the detector
    {"GEMS_HELIOS_01", 0x0045, 0x02, "FL"},             // macro width at the isocentre
    {"SIEMENS MR HEADER", 0x0019, 0x0c, "IS"},          // b value
    {"SIEMENS MR HEADER", 0x0019, 0x0d, "CS"},          // diffusion directionality
    {"SIEMENS MR HEADER", 0x0019, 0x0e, "FD"},          // diffusion gradient direction
    {"SIEMENS MR HEADER", 0x0019, 0x27, "FD"},          // b matrix
};

}  // namespace

bool IsSafePrivate(std::string_view creator, std::uint16_t group, std::uint8_t element,
                   std::string_view vr) {
  return std::any_of(std::begin(kSafe), std::end(kSafe), [&](const SafePrivate& safe) {
    return safe.creator == creator && safe.group == group && safe.element == element &&
           safe.vr == vr;
  });
}

}  // namespace consilium::datasets::deidentification
