// Tests of lists and watches that are answered in protobuf.

#include <gmock/gmock.h>

#include <protozero/pbf_writer.hpp>

#include "watcher/kubernetes/protobuf/object_json.h"
#include "watcher/testing/protobuf_text.h"
#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using protozero::pbf_writer;
using testing::ElementsAre;
using testing::HasSubstr;

class ReflectorProtobufTest : public ReflectorTest {
 protected:
  ReflectorProtobufTest() {
    transport_.content_type = "application/vnd.kubernetes.protobuf";
  }

  static std::string Enveloped(const std::string& kind,
                               const std::string& object) {
    const std::string version = kind == "Status" ? "v1" : "discovery.k8s.io/v1";
    return std::string(kProtobufMagic) +
           Text(1, Text(1, version) + Text(2, kind)) + Text(2, object);
  }
  static std::string ProtobufObject(const std::string& name,
                                    const std::string& version) {
    return Text(1, Text(1, name) + Text(6, version));
  }
  static std::string ProtobufPage(const std::vector<std::string>& names,
                                  const std::string& version) {
    std::string list = Text(1, Text(2, version));
    for (const std::string& name : names) {
      list += Text(2, ProtobufObject(name, "1"));
    }
    return Enveloped("EndpointSliceList", list);
  }
  static std::string Frame(const std::string& type, const std::string& object) {
    const std::string event = Text(1, type) + Text(2, Text(1, object));
    const size_t size = event.size();
    return std::string{static_cast<char>(size >> 24),
                       static_cast<char>(size >> 16),
                       static_cast<char>(size >> 8), static_cast<char>(size)} +
           event;
  }
  static std::string ProtobufEvent(const std::string& type,
                                   const std::string& name,
                                   const std::string& version) {
    return Frame(type,
                 Enveloped("EndpointSlice", ProtobufObject(name, version)));
  }
  static std::string Refusal(int code, const std::string& reason,
                             const std::string& message) {
    std::string status = Text(3, message) + Text(4, reason);
    pbf_writer(status).add_int32(6, code);
    return Enveloped("Status", status);
  }
  void SyncProtobuf() {
    Start();
    AnswerList(ProtobufPage({"x"}, "100"));
    transport_.content_type += ";stream=watch";
  }
};

TEST_F(ReflectorProtobufTest, OffersBothAndReadsWhatComes) {
  SyncProtobuf();
  EXPECT_THAT(sink_.present, ElementsAre("x"));
  ASSERT_NE(Watch(), nullptr);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "100");
  for (const Transfer& transfer : transport_.transfers) {
    EXPECT_STREQ(transfer.request.accept,
                 "application/vnd.kubernetes.protobuf, application/json;q=0.9");
  }
}

TEST_F(ReflectorProtobufTest, CustomResourcesAreAskedForAsJson) {
  options_.path = "/apis/argoproj.io/v1alpha1/namespaces/prod/rollouts";
  transport_.content_type = "application/json";
  Start();
  ASSERT_NE(List(), nullptr);
  EXPECT_STREQ(List()->request.accept, "application/json");
}

// Each answer is what it says it is, whatever the one before was.
TEST_F(ReflectorProtobufTest, AListInProtobufAndAWatchInJson) {
  SyncProtobuf();
  Watch()->content_type = "application/json";
  Send(Event("ADDED", "y", "101"));
  EXPECT_THAT(sink_.events, ElementsAre("added y"));
}

TEST_F(ReflectorProtobufTest, AListInJsonAndAWatchInProtobuf) {
  Start();
  List()->content_type = "application/json";
  AnswerList(Page({"x"}, "100"));
  Send(ProtobufEvent("ADDED", "y", "101"));
  EXPECT_THAT(sink_.present, ElementsAre("x"));
  EXPECT_THAT(sink_.events, ElementsAre("added y"));
}

TEST_F(ReflectorProtobufTest, AppliesEventsHoweverTheyAreCut) {
  SyncProtobuf();
  const std::string events = ProtobufEvent("ADDED", "y", "101") +
                             ProtobufEvent("MODIFIED", "y", "102") +
                             ProtobufEvent("DELETED", "y", "103") +
                             ProtobufEvent("BOOKMARK", "", "200");
  for (const char c : events) Send(std::string(1, c));
  EXPECT_THAT(sink_.events, ElementsAre("added y", "modified y", "deleted y"));
  Advance(2000);
  EndWatch();
  ASSERT_NE(Watch(), nullptr);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "200");
}

TEST_F(ReflectorProtobufTest, ListsAgainWhenTheVersionHasExpired) {
  SyncProtobuf();
  transport_.content_type = "application/vnd.kubernetes.protobuf";
  Send(Frame("ERROR", Refusal(410, "Expired", "too old")));
  WaitFor(/*watch=*/false);
  AnswerList(ProtobufPage({"z"}, "300"));
  EXPECT_THAT(sink_.present, ElementsAre("z"));
}

TEST_F(ReflectorProtobufTest, ARefusalIsReadable) {
  Start();
  Refuse(List(), 500, Refusal(500, "InternalError", "etcd is ill"));
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("HTTP 500: etcd is ill")));
}

TEST_F(ReflectorProtobufTest, ARefusalOfAnotherTypeIsReadAsThat) {
  Start();
  List()->content_type = "application/json";
  Refuse(List(), 500, R"({"kind":"Status","message":"etcd is ill"})");
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("HTTP 500: etcd is ill")));
}

TEST_F(ReflectorProtobufTest, ARefusedWatchIsReadable) {
  SyncProtobuf();
  Refuse(Watch(), 500, Refusal(500, "InternalError", "etcd is ill"));
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("HTTP 500: etcd is ill")));
}

TEST_F(ReflectorProtobufTest, RefusesAListThatIsCutOff) {
  Start();
  const std::string page = ProtobufPage({"x", "y"}, "100");
  AnswerList(page.substr(0, page.size() - 1));
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("no list: it is cut off")));
  EXPECT_EQ(sink_.commits, 0);
}

TEST_F(ReflectorProtobufTest, RefusesAListWithoutAVersion) {
  Start();
  AnswerList(ProtobufPage({"x"}, ""));
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("resourceVersion")));
  EXPECT_EQ(sink_.commits, 0);
}

TEST_F(ReflectorProtobufTest, RefusesProtobufThatIsNone) {
  Start();
  AnswerList(Page({"x"}, "100"));
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("is no protobuf of Kubernetes")));
}

TEST_F(ReflectorProtobufTest, RefusesAnEventThatIsNone) {
  SyncProtobuf();
  Send(Frame("ADDED", "what?"));
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("is no protobuf of Kubernetes")));
}

TEST_F(ReflectorProtobufTest, AnEventThatIsCutOffIsNotApplied) {
  SyncProtobuf();
  Advance(2000);
  const std::string event = ProtobufEvent("ADDED", "y", "101");
  Send(event.substr(0, event.size() - 1));
  EndWatch();
  EXPECT_TRUE(sink_.events.empty());
  WaitFor(/*watch=*/true);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "100");
}

}  // namespace
}  // namespace dynweight
