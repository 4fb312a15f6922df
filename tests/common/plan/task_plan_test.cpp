// Plans of every task: what each may say, and what is refused in which words.

#include "common/plan/plan.h"
#include "tests/catch.h"
#include "tests/common/plan/parsed_plans.h"
#include "tests/common/says.h"

namespace consilium::plan {
namespace {

// A plan of DICOM images with these lines in [target] and these tables after it.
absl::StatusOr<Plan> OfImages(std::string_view target, std::string_view more = {}) {
  return ParsePlan(StrCat("[plan]\nname = \"p\"\n[data]\nmodalities = [\"MR\"]\n[target]\n", target,
                          "\n", more));
}

constexpr char kOutlines[] =
    "task = \"segmentation\"\nname = \"tumours\"\nclasses = [\"tumour\", \"oedema\"]";
constexpr char kUnet[] = "[model]\narchitecture = \"unet\"\n";
constexpr char kBoxes[] =
    "task = \"detection\"\nname = \"lesions\"\nclasses = [\"nodule\", \"mass\"]";
constexpr char kFcos[] = "[model]\narchitecture = \"fcos\"\n";

TEST_CASE("more labels than a secure evaluation holds are refused, as sealed they are taken") {
  std::string classes;
  for (int i = 0; i < 16; ++i) StrAppend(&classes, i == 0 ? "" : ", ", "\"label", i, "\"");
  const std::string sixteen = StrCat("task = \"multilabel\"\nclasses = [", classes, "]");
  CHECK_THAT(OnlyFault(OfImages(sixteen)),
             ContainsText("are 16, and a secure evaluation holds 15"));
  CHECK(OfImages(sixteen, "[aggregation]\nupdates = \"sealed\"\n").ok());
}

TEST_CASE("A plan may let each site's optimizer go on from round to round, and says so") {
  CHECK_FALSE(Read(OfImages("name = \"tumour\"")).training.keep_optimizer);
  const Plan plan = Read(OfImages("name = \"tumour\"", "[training]\nkeep_optimizer = true\n"));
  CHECK(plan.training.keep_optimizer);
  CHECK_THAT(Describe(plan), ContainsText("moments kept between rounds"));
}

TEST_CASE("Each task reads its own words of [target]") {
  const Plan classes = Read(OfImages(
      "task = \"multiclass\"\nname = \"finding\"\nclasses = [\"normal\", \"benign\", \"cancer\"]"));
  CHECK(classes.target.Shape() == TaskShape{Task::kMulticlass, 3});
  CHECK(classes.target.Columns() == std::vector<std::string>{"finding"});

  const Plan labels = Read(OfImages("task = \"multilabel\"\nclasses = [\"effusion\", \"nodule\"]"));
  CHECK(labels.target.Shape() == TaskShape{Task::kMultilabel, 2});
  CHECK(labels.target.Columns() == labels.target.classes);
  CHECK(labels.target.Title() == "effusion, nodule");
  CHECK_FALSE(labels.training.class_weighting);

  const Plan outlines = Read(OfImages(kOutlines, StrCat(kUnet, "width = 32\n")));
  CHECK(outlines.target.Shape() == TaskShape{Task::kSegmentation, 2});
  CHECK(outlines.target.Columns().empty());
  CHECK(outlines.model.width == 32);

  const Plan binary = Read(OfImages("task = \"binary\"\nname = \"tumour\""));
  CHECK(binary.target.Shape() == TaskShape{});
  CHECK(binary.training.class_weighting);
}

TEST_CASE("What a task has no use for, or lacks, is refused in words") {
  CHECK_THAT(OnlyFault(OfImages("task = \"regression\"\nname = \"t\"")),
             ContainsText("line 6: target.task = \"regression\" is not allowed: one of \"binary\", "
                          "\"multiclass\", \"multilabel\", \"segmentation\", \"survival\""));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"\nclasses = [\"a\", \"b\"]")),
             ContainsText("target.classes has no effect with task \"binary\": say \"multiclass\""));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"\ntime = \"days\"")),
             ContainsText("target.time = \"days\" has no effect with task \"binary\""));
  CHECK_THAT(OnlyFault(OfImages("task = \"multiclass\"\nname = \"t\"")),
             ContainsText("target.classes is missing: with task \"multiclass\" it lists the values "
                          "of the column"));
  CHECK_THAT(OnlyFault(OfImages("task = \"multiclass\"\nname = \"t\"\nclasses = []")),
             ContainsText("lists 0: 2 to 100 are allowed"));
  CHECK_THAT(OnlyFault(OfImages("task = \"multiclass\"\nname = \"t\"\nclasses = [\"a\", \"A\"]")),
             ContainsText("holds \"A\" twice"));
  CHECK_THAT(OnlyFault(OfImages("task = \"multiclass\"\nname = \"t\"\nclasses = [\"1\", \"1.0\"]")),
             ContainsText("holds \"1.0\" twice"));
  CHECK_THAT(OnlyFault(OfImages("task = \"multiclass\"\nname = \"t\"\nclasses = [\"a\", \"NA\"]")),
             ContainsText("holds \"NA\", which stands for a value that is missing"));
  CHECK_THAT(
      OnlyFault(OfImages("task = \"multilabel\"\nname = \"t\"\nclasses = [\"a\", \"b\"]")),
      ContainsText("target.name = \"t\" has no effect with task \"multilabel\": its columns are"));
  const std::string survival = "task = \"survival\"\ntime = \"d\"\nevent = \"e\"";
  CHECK(Read(OfImages(survival)).target.Columns() == std::vector<std::string>{"d", "e"});
  CHECK_THAT(OnlyFault(OfImages(survival, kUnet)),
             ContainsText("does not suit target.task \"survival\": one of \"small_cnn\""));
}

TEST_CASE("Grades and intervals are read, said in words, and refused where they mean nothing") {
  const std::string classes = "task = \"multiclass\"\nname = \"t\"\nclasses = ";
  const Plan grades = Read(OfImages(classes + "[\"none\", \"some\", \"much\"]\nordered = true"));
  CHECK(grades.target.ordered);
  CHECK_THAT(Describe(grades), ContainsText("grading \"t\" (none < some < much)"));
  CHECK_THAT(OnlyFault(OfImages(classes + "[\"a\", \"b\"]\nordered = true")),
             ContainsText("a third one is needed"));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"\nordered = true")),
             ContainsText("only task \"multiclass\" has grades"));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"\nintervals = [1, 2]")),
             ContainsText("only task \"survival\" has them"));
}

TEST_CASE("A network that does not suit the task is refused with those that do") {
  CHECK_THAT(OnlyFault(OfImages(kOutlines)),
             ContainsText("model.architecture is missing: target.task \"segmentation\" needs one "
                          "of \"unet\", \"unet3d\", \"torchscript\""));
  CHECK_THAT(OnlyFault(OfImages(kOutlines, "[model]\narchitecture = \"resnet50\"\n")),
             ContainsText("model.architecture = \"resnet50\" does not suit target.task "
                          "\"segmentation\": one of \"unet\""));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"", kUnet)),
             ContainsText("does not suit target.task \"binary\": one of \"small_cnn\""));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"", "[model]\narchitecture = \"mlp\"\n")),
             ContainsText("does not suit target.task \"binary\""));
  for (const char* name :
       {"small_cnn", "resnet18", "resnet34", "resnet50", "densenet121", "efficientnet_b0"}) {
    const Plan plan =
        Read(OfImages("name = \"t\"", StrCat("[model]\narchitecture = \"", name, "\"\n")));
    CHECK(Name(plan.model.architecture) == name);
    CHECK_THAT(Describe(plan), ContainsText(StrCat(name, " with group norm")));
  }
}

TEST_CASE("Keys of one kind of network are refused beside another") {
  const auto with = [](std::string_view keys) {
    return OnlyFault(OfImages("name = \"t\"", StrCat("[model]\n", keys, "\n")));
  };
  CHECK_THAT(with("width = 16"), ContainsText("only \"unet\", \"unet3d\" and \"fcos\""));
  CHECK_THAT(with("hidden = [4]"), ContainsText("only \"mlp\" has it"));
  CHECK_THAT(with("dropout = 0.5"), ContainsText("only \"mlp\" has it"));
  CHECK_THAT(OnlyFault(OfImages(kOutlines, StrCat(kUnet, "width = 20\n"))),
             ContainsText("model.width = 20 is no multiple of 8"));
  CHECK_THAT(OnlyFault(OfImages(kOutlines, StrCat(kUnet, "[preprocessing]\nimage_size = 72\n"))),
             ContainsText("does not suit unet, which halves it four times: a multiple of 16"));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"",
                                "[model]\narchitecture = \"densenet121\"\n"
                                "[preprocessing]\nimage_size = 24\n")),
             ContainsText("is too small for densenet121: 32 or more"));
}

TEST_CASE("A module of the consortium's own is named by its hash") {
  const std::string hash(64, 'a');
  const auto with = [](std::string_view keys) {
    return OfImages("name = \"t\"", StrCat("[model]\narchitecture = \"torchscript\"\n", keys));
  };
  CHECK(Read(with(StrCat("module = \"", hash, "\"\n"))).model.module == hash);
  CHECK_THAT(OnlyFault(with("")), ContainsText("model.module is missing: the SHA-256"));
  CHECK_THAT(OnlyFault(with("module = \"net.pt\"\n")), ContainsText("is not a SHA-256"));
  CHECK_THAT(OnlyFault(with(StrCat("norm = \"batch\"\nmodule = \"", hash, "\"\n"))),
             ContainsText("model.norm = \"batch\" has no effect"));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"", StrCat("[model]\nmodule = \"", hash, "\"\n"))),
             ContainsText("only \"torchscript\" has it"));
}

TEST_CASE("The gate and the stop ask for the number that the task is judged by") {
  const Plan outlines = Read(OfImages(
      kOutlines, StrCat(kUnet, "[gate]\nminimum_dice = 0.7\n[stop]\ntarget_dice = 0.4\n")));
  CHECK(outlines.gate.minimum == 0.7);
  CHECK(outlines.stop.target == 0.4);
  CHECK_THAT(OnlyFault(OfImages(kOutlines, StrCat(kUnet, "[gate]\nminimum_auroc = 0.7\n"))),
             ContainsText("gate.minimum_auroc = 0.7 is not what target.task \"segmentation\" is "
                          "judged by: use minimum_dice"));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"", "[gate]\nminimum_dice = 0.7\n")),
             ContainsText("is judged by: use minimum_auroc"));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"", "[stop]\ntarget_concordance = 0.7\n")),
             ContainsText("is judged by: use target_auroc"));
  CHECK_THAT(OnlyFault(OfImages(kOutlines, StrCat(kUnet, "[evaluation]\nat_specificity = 0.9\n"))),
             ContainsText("evaluation.at_specificity = 0.9 has no effect"));
  CHECK_THAT(OnlyFault(OfImages(kOutlines, StrCat(kUnet, "[training]\nclass_weighting = true\n"))),
             ContainsText("training.class_weighting = true has no effect"));
}

TEST_CASE("Colour and mirrored images can be asked for") {
  const Plan plan = Read(
      OfImages("name = \"t\"",
               "[preprocessing]\nchannel = \"rgb\"\n[training]\naugmentation = \"mirrored\"\n"));
  CHECK(plan.preprocessing.channel == Channel::kRgb);
  CHECK(plan.training.augmentation == Augmentation::kMirrored);
  CHECK_THAT(Describe(plan), ContainsText("red, green and blue"));
  CHECK_THAT(Describe(plan), ContainsText("augmentation mirrored"));
  CHECK(PixelSettings(plan.preprocessing) != PixelSettings(Preprocessing{}));
}

TEST_CASE("A plan says in words what its network will be able to say") {
  const auto text = [](std::string_view target, std::string_view more = {}) {
    return Describe(Read(OfImages(target, more)));
  };
  CHECK_THAT(text("task = \"multiclass\"\nname = \"finding\"\nclasses = [\"a\", \"b\"]"),
             ContainsText("telling the classes of \"finding\" apart (a, b)"));
  CHECK_THAT(text("task = \"multilabel\"\nclasses = [\"effusion\", \"nodule\"]"),
             ContainsText("finding each of the labels effusion, nodule"));
  const std::string outlines = text(kOutlines, kUnet);
  CHECK_THAT(outlines,
             ContainsText("unet with group norm, outlining tumour, oedema (\"tumours\")"));
  CHECK_THAT(outlines, ContainsText("with a pooled test Dice of 0.5 or more"));
}

TEST_CASE("A plan of boxes reads its words, and refuses what detects nothing") {
  const Plan parts =
      Read(OfImages(kBoxes, StrCat(kFcos,
                                   "width = 32\n[gate]\nminimum_average_precision = 0.4\n[stop]\n"
                                   "target_average_precision = 0.3\n")));
  CHECK(parts.target.Shape() == TaskShape{Task::kDetection, 2});
  CHECK(parts.target.Columns().empty());
  CHECK_FALSE(parts.target.whole);
  CHECK(parts.model.width == 32);
  CHECK(parts.gate.minimum == 0.4);
  CHECK(parts.stop.target == 0.3);
  CHECK_THAT(Describe(parts), ContainsText("fcos with group norm, finding nodule, mass "
                                           "(\"lesions\"), a box each connected part"));
  CHECK_THAT(Describe(parts), ContainsText("average precision of 0.4 or more"));
  const Plan whole = Read(OfImages(StrCat(kBoxes, "\nwhole = true"), kFcos));
  CHECK(whole.target.whole);
  CHECK_THAT(Describe(whole), ContainsText("one box a kind and image"));
  CHECK_THAT(OnlyFault(OfImages(StrCat(kOutlines, "\nwhole = true"), kUnet)),
             ContainsText("target.whole = true has no effect with task \"segmentation\""));
  CHECK_THAT(OnlyFault(OfImages(kBoxes)),
             ContainsText("target.task \"detection\" needs one of \"fcos\""));
  CHECK_THAT(OnlyFault(OfImages("name = \"t\"", kFcos)),
             ContainsText("does not suit target.task \"binary\""));
  CHECK_THAT(OnlyFault(OfImages(kBoxes, StrCat(kFcos, "[preprocessing]\nimage_size = 80\n"))),
             ContainsText("does not suit fcos, which halves it five times: a multiple of 32"));
  CHECK_THAT(OnlyFault(OfImages(kBoxes, StrCat(kFcos, "[gate]\nminimum_dice = 0.7\n"))),
             ContainsText("is judged by: use minimum_average_precision"));
  std::string kinds;
  for (int i = 0; i < 15; ++i) StrAppend(&kinds, i == 0 ? "" : ", ", "\"kind", i, "\"");
  const std::string fifteen = StrCat("task = \"detection\"\nname = \"t\"\nclasses = [", kinds, "]");
  CHECK_THAT(OnlyFault(OfImages(fifteen, kFcos)),
             ContainsText("are 15, and a secure evaluation holds 14"));
  CHECK(OfImages(fifteen, StrCat(kFcos, "[aggregation]\nupdates = \"sealed\"\n")).ok());
}

TEST_CASE("A learning rate is constant, or falls along half a cosine over the rounds") {
  const Plan constant = Read(OfImages("name = \"t\"", "[training]\nlearning_rate = 0.5\n"));
  CHECK(LearningRateAt(constant.training, 0.99) == 0.5);
  const Plan cosine =
      Read(OfImages("name = \"t\"", "[training]\nlearning_rate = 0.5\nschedule = \"cosine\"\n"));
  CHECK(LearningRateAt(cosine.training, 0) == 0.5);
  CHECK(LearningRateAt(cosine.training, 0.5) == Approx(0.25));
  CHECK(LearningRateAt(cosine.training, 2.0 / 3) == Approx(0.125));
  CHECK_THAT(Describe(cosine), ContainsText("falls to 0 along a cosine"));
}

TEST_CASE("A plan that describes counts labels of 0 and 1 only") {
  CHECK_THAT(OnlyFault(ParsePlan("[plan]\nname = \"p\"\n[describe]\n[target]\ntask = "
                                 "\"survival\"\nname = \"t\"\n")),
             ContainsText("target.task = \"survival\" cannot be described"));
  CHECK(ParsePlan("[plan]\nname = \"p\"\n[describe]\n[target]\nname = \"t\"\n").ok());
}

}  // namespace
}  // namespace consilium::plan
