"""Opens pages of `omninorm scale show --html` in headless Chromium: page_browser_test.py OMNINORM.

Exits 77 (skipped) without a Chromium, except where CI is set: there it fails.
"""

import csv
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "report"))
from browser import Browser, find_browser  # noqa: E402

HOSTILE = "</script><img src=x onerror='window.pwned=1'>"

# Of every canvas: how many pixels have the colours of its bars.
INK = """[...document.querySelectorAll('.cards canvas')].map((canvas) => {
  const tried = document.createElement('canvas').getContext('2d');
  const wanted = Chart.getChart(canvas).data.datasets.map((set) => {
    tried.fillStyle = set.backgroundColor;
    tried.fillRect(0, 0, 1, 1);
    return tried.getImageData(0, 0, 1, 1).data;
  });
  const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let found = 0;
  for (let i = 0; i < all.length; i += 4) {
    found += wanted.some((ink) => [0, 1, 2].every((k) => all[i + k] === ink[k]));
  }
  return found;
})"""


def names(count):
    return [f"column {i}" for i in range(count)]


class PageInABrowser(unittest.TestCase):
    omninorm = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.folder.cleanup()

    def scale(self, *words):
        return subprocess.run(
            [self.omninorm, "scale", *map(str, words)], cwd=self.folder.name, check=True,
            capture_output=True, text=True,
        ).stdout  # fmt: skip

    def write(self, name, heads, rows):
        path = pathlib.Path(self.folder.name) / name
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(heads)
            writer.writerows(rows)
        return path

    def page(self, heads, train, test, *fit, **how):
        """Fits on one table, shows another, and opens the page; what the command said."""
        self.write("train.csv", heads, train)
        self.write("test.csv", heads, test)
        self.scale("fit", "train.csv", "-o", "s.json", "--quiet", *fit)
        said = self.scale("show", "s.json", "--data", "test.csv", "--html", "page.html")
        self.browser.open(pathlib.Path(self.folder.name) / "page.html", **how)
        self.assertEqual(self.browser.problems, [])
        self.assertEqual(self.browser.run("document.documentElement.dataset.errors"), "0")
        self.assertEqual(self.browser.run("document.querySelectorAll('.failed-chart').length"), 0)
        return said

    def rows(self, count, columns, shift=0.0):
        draw = random.Random(3)
        return [[draw.gauss(100 * j, 1 + j) + shift for j in range(columns)] for _ in range(count)]

    def check_drawn(self, charts):
        ink = self.browser.run(INK)
        self.assertEqual(len(ink), charts)
        self.assertTrue(all(found > 50 for found in ink), ink)
        state = self.browser.run("({...document.documentElement.dataset})")
        self.assertEqual((state["charts"], state["drawn"]), (str(charts), str(charts)))

    def text(self, selector):
        return self.browser.run(f"document.querySelector({selector!r})?.innerText ?? ''")

    def counts(self, index):
        """The counts that a chart shows: of its bins, then of the bars beyond them."""
        return self.browser.run(
            f"Chart.getChart(document.querySelectorAll('.cards canvas')[{index}])"
            ".data.datasets.map(set => set.data.map(point => point.y))"
        )

    def test_one_column(self):
        said = self.page(["x"], self.rows(500, 1), self.rows(300, 1))
        self.assertIn("page: page.html", said)
        self.check_drawn(2)
        self.assertEqual(self.text("h1"), "x before and after z-score scaling")
        self.assertIn("300 rows: nothing stands out.", self.text(".lead"))
        self.assertEqual(sum(sum(bars) for bars in self.counts(0)), 300)
        self.assertEqual(sum(sum(bars) for bars in self.counts(1)), 300)
        self.assertEqual(self.browser.run("document.querySelector('.pager').hidden"), True)

    def test_outliers_stand_at_the_ends(self):
        train = self.rows(400, 1)
        test = [*train[:398], ["9e9"], ["-1000"], [""], ["nan"]]
        self.page(["x"], train, test, "--kind", "min_max")
        inner, outer = self.counts(1)
        self.assertEqual((sum(inner), outer), (398, [1, 1]))
        self.assertIn("2 values outside the fitted range (0.5", self.text(".note"))
        self.assertIn("2 missing", self.text(".card .line"))
        self.assertIn("Outliers", self.text(".findings"))
        self.assertEqual(self.text(".lead"), "402 rows: the column stands out: with outliers.")
        # The fitted extremes are no outliers.
        self.page(["x"], train, train, "--kind", "min_max")
        self.assertEqual(len(self.counts(1)), 1)

    def test_what_has_moved_is_told(self):
        self.page(names(5), self.rows(400, 5), self.rows(400, 5, shift=2.0))
        self.assertIn("column 0 (+2.0", self.text(".findings"))
        self.assertIn("mean moved by +2.0", self.text(".note"))
        self.assertIn("400 rows: 4 of 5 columns stand out: 4 moved", self.text(".lead"))
        self.assertNotIn("column 4 (+", self.text(".findings"))  # 2 is under half of its sd, 5

    def test_constant_and_empty_columns(self):
        train = [[7, i, ""] for i in range(50)]
        self.page(["same", "x", "none"], train, train)
        self.assertIn("had one value when fitted", self.text(".findings"))
        self.assertIn("had no value when fitted", self.text(".findings"))
        self.assertEqual(self.browser.run("document.querySelectorAll('.cards .empty').length"), 2)
        self.check_drawn(4)

    def test_forty_columns_turn_pages(self):
        self.page(names(40), self.rows(100, 40), self.rows(100, 40))
        self.check_drawn(24)
        self.assertEqual(self.text(".shown"), "Columns 1 to 12 of 40")
        turn = "document.querySelectorAll('.pager button')[1].click()"
        for _ in range(3):
            self.browser.run(turn)
        self.assertEqual(self.text(".shown"), "Columns 37 to 40 of 40")
        self.assertEqual(self.text(".card h3"), "column 36")
        self.check_drawn(8)
        self.browser.run("document.querySelector('.pager button').click()")
        self.assertEqual(self.text(".shown"), "Columns 25 to 36 of 40")
        self.assertEqual(self.browser.run("document.querySelectorAll('tbody tr').length"), 40)
        self.assertEqual(self.browser.problems, [])

    def test_finding_and_ordering(self):
        test = [row[:20] + [""] + row[21:] for row in self.rows(50, 40)]
        self.page(names(40), self.rows(50, 40), test)
        self.browser.run("""(() => { const find = document.getElementById('words');
            find.value = 'N 3'; find.dispatchEvent(new Event('input')); })()""")
        self.assertEqual(self.text(".shown"), "11 of 40 columns match")
        self.check_drawn(22)
        self.browser.run("""(() => { const find = document.getElementById('words');
            find.value = ''; find.dispatchEvent(new Event('input'));
            const order = document.getElementById('order');
            order.value = 'missing'; order.dispatchEvent(new Event('change')); })()""")
        self.assertEqual(self.text(".card h3"), "column 20")

    def test_logarithmic_counts(self):
        self.page(["x"], self.rows(500, 1), self.rows(500, 1))
        kind = "Chart.getChart(document.querySelector('.cards canvas')).scales.y.type"
        self.assertEqual(self.browser.run(kind), "linear")
        self.browser.run("document.querySelector('.options button').click()")
        self.assertEqual(self.browser.run(kind), "logarithmic")
        self.check_drawn(2)
        self.assertEqual(self.browser.problems, [])

    def test_beyond_a_thousand_columns_the_rest_is_told(self):
        rows = self.rows(20, 1003)
        test = [[*row[:1002], 1e9] for row in rows]
        self.page(names(1003), rows, test)
        self.check_drawn(24)
        self.assertIn("1,000 of 1,003 columns", self.text(".warning"))
        heads = self.browser.run("[...document.querySelectorAll('tbody th')].map(h => h.innerText)")
        self.assertEqual(len(heads), 1000)
        self.assertEqual(heads[-1], "column 1002")  # the one with most to tell

    def test_fits_a_phone_and_the_dark(self):
        self.page(names(40), self.rows(60, 40), self.rows(60, 40), width=360, height=740)
        self.check_drawn(24)
        self.assertEqual(self.browser.run("document.documentElement.scrollWidth"), 360)
        wide = """[...document.querySelectorAll('body *')]
            .filter(e => !e.closest('.scroll, svg, .skip'))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.tagName + '.' + e.className)"""
        self.assertEqual(self.browser.run(wide), [])
        ground = "getComputedStyle(document.body).backgroundColor"
        light = self.browser.run(ground)
        self.browser.open(pathlib.Path(self.folder.name) / "page.html", dark=True)
        self.assertNotEqual(self.browser.run(ground), light)
        self.check_drawn(24)

    def test_text_is_never_run(self):
        self.page([HOSTILE, "`{{data}}`"], self.rows(30, 2), self.rows(30, 2, shift=50.0))
        self.assertIsNone(self.browser.run("window.pwned ?? null"))
        self.assertEqual(self.browser.run("document.querySelectorAll('img').length"), 0)
        self.assertEqual(self.text(".card h3"), HOSTILE)
        self.check_drawn(4)

    def test_names_for_those_who_do_not_see_it(self):
        self.page(names(14), self.rows(30, 14), self.rows(30, 14))
        self.assertEqual(self.browser.run("document.querySelectorAll('h1').length"), 1)
        bare = """[...document.querySelectorAll('canvas')]
            .filter(c => c.getAttribute('role') !== 'img' || !c.ariaLabel).length"""
        self.assertEqual(self.browser.run(bare), 0)
        unnamed = """[...document.querySelectorAll('select, button, input')]
            .filter(e => !e.ariaLabel && !e.labels?.length && !e.textContent.trim()).length"""
        self.assertEqual(self.browser.run(unnamed), 0)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: page_browser_test.py OMNINORM [unittest's arguments]")
    if find_browser() is None:
        print("No Chromium: the browser tests of the page DID NOT RUN (apt install chromium)")
        sys.exit(1 if os.environ.get("CI") else 77)
    PageInABrowser.omninorm = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
