#include "common/base/field_writer.h"
#include "common/crypto/sha256.h"
#include "common/metrics/description.h"
#include "common/wire/protocol.h"

namespace consilium::wire {

Digest QuestionOf(const plan::Plan& plan) {
  return crypto::Sha256(FieldWriter("consilium description v1")
                            .Text(metrics::DescriptionLayoutText())
                            .Text(plan.target.name)
                            .bytes());
}

}  // namespace consilium::wire
