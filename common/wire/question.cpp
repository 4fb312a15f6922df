#include "common/base/field_writer.h"
#include "common/crypto/sha256.h"
#include "common/metrics/description.h"
#include "common/wire/protocol.h"

namespace consilium::wire {

namespace {

// Every value that the sums depend on.
Digest QuestionOfPreparation(const plan::Plan& plan) {
  FieldWriter fields("consilium preparation v1");
  fields.Text(plan.table.name).Number(plan.table.Numbers());
  for (const plan::Column& column : plan.table.columns) {
    if (column.kind != plan::ColumnKind::kNumber) continue;
    fields.Text(column.name).Real(column.minimum).Real(column.maximum);
  }
  fields.Text(Name(plan.target.task)).Text(plan.target.name).Number(plan.target.classes.size());
  for (const std::string& name : plan.target.classes) fields.Text(name);
  return crypto::Sha256(fields.Text(plan.target.time)
                            .Text(plan.target.event)
                            .Real(plan.data.validation_fraction)
                            .Real(plan.data.test_fraction)
                            .bytes());
}

}  // namespace

Digest QuestionOf(const plan::Plan& plan) {
  if (!plan.describe) return QuestionOfPreparation(plan);
  return crypto::Sha256(FieldWriter("consilium description v1")
                            .Text(metrics::DescriptionLayoutText())
                            .Text(plan.target.name)
                            .bytes());
}

}  // namespace consilium::wire
