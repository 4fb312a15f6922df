#include "common/base/status.h"
#include "common/identity/token.h"
#include "common/metrics/json.h"
#include "common/metrics/shown_description.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seeds.h"

namespace consilium::fuzz {
namespace {

constexpr std::string_view kDescribePlan =
    "[plan]\nname = \"a\"\n[describe]\nsmallest_count = 7\n[target]\nname = \"opacity\"\n";
constexpr std::string_view kWholePlan = R"([plan]
name = "chest-opacity"
description = "every key there is"
seed = 7
[model]
architecture = "resnet18"
norm = "batch"
initial = "3fa9c1d20b773fa9c1d20b773fa9c1d20b773fa9c1d20b773fa9c1d20b773fa9"
[target]
name = "opacity"
[data]
modalities = ["DX", "CR"]
minimum_patients = 20
validation_fraction = 0.15
test_fraction = 0.25
[preprocessing]
image_size = 64
intensity = "window"
spacing_mm = 1.5
standardize = false
[training]
local_epochs = 2
batch_size = 16
optimizer = "sgd"
learning_rate = 0.01
momentum = 0.9
weight_decay = 0.0001
class_weighting = false
augmentation = "none"
[aggregation]
method = "fedprox"
proximal_mu = 0.1
weight = "patients"
server_learning_rate = 1.0
updates = "masked"
[secure_aggregation]
clip_norm = 10.0
threshold = 3
[cohort]
minimum_sites = 3
sites = ["east", "north", "south"]
round_deadline_s = 600
absence_grace_s = 30
[evaluation]
at_specificity = 0.9
[gate]
minimum_auroc = 0.7
maximum_site_drop = 0.05
minimum_sites = 3
[stop]
rounds = 5
patience = 2
target_auroc = 0.95
wall_time_s = 7200
)";

constexpr std::string_view kTablePlan = R"([plan]
name = "heart"
[model]
architecture = "mlp"
hidden = [16, 8]
dropout = 0.2
[target]
task = "multiclass"
name = "disease"
classes = ["none", "mild", "severe"]
[data]
source = "table"
[table]
name = "heart"
missing_indicators = true
[[table.columns]]
name = "age"
minimum = 0
maximum = 120
[[table.columns]]
name = "sex"
kind = "category"
values = ["male", "female"]
)";

constexpr std::string_view kSurvivalPlan = R"([plan]
name = "breast"
[model]
architecture = "logistic"
[target]
task = "survival"
time = "days"
event = "death"
[data]
source = "table"
[table]
name = "breast"
columns = [{ name = "age", minimum = 0, maximum = 1.5 }]
[gate]
minimum_concordance = 0.6
[stop]
target_concordance = 0.8
)";

constexpr std::string_view kSegmentationPlan = R"([plan]
name = "tumours"
[model]
architecture = "unet"
width = 16
[target]
task = "segmentation"
name = "tumours"
classes = ["tumour", "oedema"]
[data]
modalities = ["MR"]
[preprocessing]
channel = "rgb"
[training]
augmentation = "mirrored"
[gate]
minimum_dice = 0.6
)";

constexpr std::string_view kDetectionPlan = R"([plan]
name = "nodules"
[model]
architecture = "fcos"
width = 32
[target]
task = "detection"
name = "nodules"
classes = ["nodule", "mass"]
whole = true
[data]
modalities = ["DX"]
[gate]
minimum_average_precision = 0.4
)";

constexpr std::string_view kMultilabelPlan =
    "[plan]\nname = \"a\"\n[target]\ntask = \"multilabel\"\nclasses = [\"effusion\", "
    "\"nodule\"]\n[data]\nmodalities = [\"DX\"]\n";

constexpr std::string_view kSmallPlan =
    "[plan]\nname = \"a\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = [\"DX\"]\n";

constexpr std::string_view kPolicy = R"(enabled = true
decide = "ask"
researchers = ["ada"]
plans = ["chest-opacity"]
targets = ["opacity"]
modalities = ["DX", "CR"]
architectures = ["resnet18"]
minimum_cohort = 2
sealed_updates = true
maximum_rounds = 50
)";

void SeedMetrics() {
  metrics::BinarySums sums;
  for (int i = 0; i < 100; ++i) sums.Add(0.01 * i, i % 3 == 0);
  sums.patients = 90;
  Seed("metrics", "sums", metrics::ToJson(sums));
  metrics::DescriptionBuilder builder(true);
  for (int i = 0; i < 40; ++i) {
    const std::string name = StrCat(i);
    builder.Add({.patient = name, .modality = i < 3 ? "MR" : "CT", .sex = "F", .label = i % 2});
  }
  Seed("metrics", "description",
       metrics::ToJson(metrics::Suppress(builder.description(), "t", 10)));
  Bytes ring = {0, 0};  // index, value
  ring.resize(10, 3);
  Seed("metrics", "ring", ring);
}

void SeedToken() {
  identity::Token token{.secret = {1, 2, 3}, .address = "coordinator.example:8443"};
  token.authority.bytes.fill(7);
  token.root.fill(9);
  Seed("token", "token", token.ToString());
  Seed("text_encoding", "base64", token.ToString());
}

}  // namespace

void SeedTexts() {
  Seed("plan", "whole", kWholePlan);
  Seed("plan", "small", kSmallPlan);
  Seed("plan", "describe", kDescribePlan);
  Seed("plan", "table", kTablePlan);
  Seed("plan", "survival", kSurvivalPlan);
  Seed("plan", "segmentation", kSegmentationPlan);
  Seed("plan", "detection", kDetectionPlan);
  Seed("plan", "multilabel", kMultilabelPlan);
  Seed("policy", "whole", kPolicy);
  Seed("policy", "off", "enabled = false\n");
  Seed("address", "name", "coordinator.example:8443");
  Seed("address", "ipv6", "[::1]:443");
  Seed("address", "proxy", "http://user:p%40ss@proxy.example:3128/");
  Seed("text_encoding", "hex", std::string(64, 'A'));
  Seed("text_encoding", "name", "north-hospital");
  Seed("csv", "quoted",
       "\xef\xbb\xbf"
       "a,\"b \"\"c\"\"\"\r\n 1 ,\"x,\ny\"\r\n\r\n2,\r\n");
  Seed("csv", "tabs", "a,b\n\t1 ,\" 2\t\"\n,\n");
  const std::string_view header = "patient_id,age,sex,ill,days,split\n";
  for (int task = 0; task < 5; ++task) {
    Seed("table", StrCat("task-", task),
         StrCat(std::string(1, static_cast<char>(task)), header,
                "P1,50,male,1,10,train\nP2,\t61 ,Female,0,0.5,\nP3,?,3.0,mild,,test\n"));
  }
  Seed("table", "rows", StrCat(std::string(1, '\0'), "P1,\"1,5\",x,2,\n,,,,\nP1,200,male,0,3\n"));
  Seed("labels", "patients", "patient_id,opacity,effusion\nP1,1,0\nP2,0,\nP1,0,1\n");
  Seed("labels", "instances", "opacity,sop_instance_uid\n1,1.2.3\n");
  Seed("labels", "cell", "1\nP2,7\n");
  SeedMetrics();
  SeedToken();
}

}  // namespace consilium::fuzz
