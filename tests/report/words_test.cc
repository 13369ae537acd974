#include "lab/report/words.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lab/page/page.h"
#include "lab/report/page.h"

namespace omninorm::lab::report {
namespace {

TEST(Words, FiguresHaveThreeDigits) {
  EXPECT_EQ(figure(1947.3), "1,950");
  EXPECT_EQ(figure(17.34), "17.3");
  EXPECT_EQ(figure(0.01234), "0.0123");
  EXPECT_EQ(figure(3.1e-9), "3.1e-9");
  EXPECT_EQ(figure(2.5e12), "2.5e12");
  EXPECT_EQ(figure(123456), "123,000");
  EXPECT_EQ(figure(999.9), "1,000");
  EXPECT_EQ(figure(-1947.3), "-1,950");
  EXPECT_EQ(figure(0), "0");
  EXPECT_EQ(figure(std::nan("")), "not a number");
  EXPECT_EQ(figure(INFINITY), "infinity");
}

TEST(Words, CountsLossesTimes) {
  EXPECT_EQ(count_text(1218048), "1,218,048");
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(-1000), "-1,000");
  EXPECT_EQ(loss_text(1.65949), "1.659");
  EXPECT_EQ(loss_text(INFINITY), "not finite");
  EXPECT_EQ(seconds_text(3.14), "3.1 s");
  EXPECT_EQ(seconds_text(22), "22 s");
  EXPECT_EQ(seconds_text(192), "3.2 min");
  EXPECT_EQ(seconds_text(9000), "2.5 h");
  EXPECT_EQ(loss_text(1.234e30), "1.23e30");
  EXPECT_EQ(signed_text(-1.234e30), "−1.23e30");
  EXPECT_EQ(percent_text(0.0634), "6.3 %");
  EXPECT_EQ(percent_text(0.0004), "under 0.1 %");
  EXPECT_EQ(percent_text(0), "0.0 %");
}

TEST(Words, DifferencesShowTheirSignAndZeroHasNone) {
  EXPECT_EQ(signed_text(0.0104), "+0.010");
  EXPECT_EQ(signed_text(-0.0104), "−0.010");
  EXPECT_EQ(signed_text(-0.0001), "0.000");
}

TEST(Words, Lists) {
  EXPECT_EQ(list_text({}), "");
  EXPECT_EQ(list_text({"a"}), "a");
  EXPECT_EQ(list_text({"a", "b", "c"}), "a, b and c");
  EXPECT_EQ(plural(1, "run"), "1 run");
  EXPECT_EQ(plural(2, "run"), "2 runs");
}

TEST(Words, ValuesReadWithoutTheirSettingWhereTheyCan) {
  EXPECT_EQ(value_title("placement", "peri"), "Peri");
  EXPECT_EQ(value_title("lr", "0.003"), "lr 0.003");
  EXPECT_EQ(value_title("init", "fan-in"), "fan-in");
  EXPECT_EQ(value_title("dropout", "0.1"), "dropout 0.1");
}

TEST(Words, TextBecomesHarmlessHtml) {
  EXPECT_EQ(escape_html("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
  EXPECT_EQ(rich_html("run `a<b` now"), "run <code>a&lt;b</code> now");
  EXPECT_EQ(rich_html("an odd `quote"), "an odd <code>quote</code>");
  EXPECT_EQ(escape_html("bad \xff byte"), "bad \xef\xbf\xbd byte");
}

TEST(Words, JsonCannotEndItsScriptElement) {
  const std::string text = script_json({{"a", "</script><!--"}});
  EXPECT_EQ(text.find('<'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(text)["a"], "</script><!--");
  EXPECT_NO_THROW(script_json({{"a", "bad \xff byte"}}));
}

}  // namespace
}  // namespace omninorm::lab::report
