"""Opens synthetic reports in headless Chromium: browser_test.py REPORT_SAMPLE.

Exits 77 (skipped) without a Chromium, except where CI is set: there it fails.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from browser import Browser, find_browser

INK = pathlib.Path(__file__).with_name("ink.js").read_text()

# The lines of the first panel of the loss chart.
LOSS_LINES = """Chart.getChart(document.querySelector('[data-chart=loss] canvas'))
    .data.datasets.filter(set => set.kind === 'line')"""

SECTIONS = {"loss", "final", "variance_depth", "variance_time", "grad_depth", "grad_time", "ratio",
            "activation", "spikes", "cost"}  # fmt: skip


class ReportInABrowser(unittest.TestCase):
    sample = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.browser = Browser()
        cls.pages = {}

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.folder.cleanup()

    def open(self, name, **how):
        if name not in self.pages:
            folder = pathlib.Path(self.folder.name) / name
            subprocess.run([self.sample, name, folder], check=True, stdout=subprocess.DEVNULL)
            self.pages[name] = folder / "report.html"
        self.browser.open(self.pages[name], **how)

    def check_clean(self):
        self.assertEqual(self.browser.problems, [])
        self.assertEqual(self.browser.run("document.documentElement.dataset.errors"), "0")
        self.assertEqual(self.browser.run("document.querySelectorAll('.failed-chart').length"), 0)

    def check_drawn(self, sections=SECTIONS, at_least=10):
        found = self.browser.run(INK)
        self.assertEqual({chart["section"] for chart in found} - {"glance"}, set(sections))
        self.assertGreaterEqual(len(found), at_least)
        for chart in found:
            self.assertGreater(chart["lines"], 0, chart)
            self.assertGreater(chart["inked"], 0, chart)
            self.assertEqual(chart["inked"] + chart["beneath"], chart["lines"], chart)
        state = self.browser.run("({...document.documentElement.dataset})")
        self.assertEqual((state["charts"], state["drawn"]), (str(len(found)), str(len(found))))

    def check_fits(self, width):
        self.assertEqual(self.browser.run("document.documentElement.scrollWidth"), width)
        wide = """[...document.querySelectorAll('body *')]
            .filter(e => !e.closest('.scroll, pre, svg, .skip'))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.tagName + '.' + e.className)"""
        self.assertEqual(self.browser.run(wide), [])

    def test_every_chart_draws(self):
        charts = {"default": 20, "seeds": 20, "axes": 20, "single": 12, "long": 20}
        for name, count in charts.items():
            with self.subTest(name):
                self.open(name)
                self.check_clean()
                self.check_drawn(at_least=count)

    def test_unfinished_runs_draw(self):
        self.open("unfinished")
        self.check_clean()
        self.check_drawn()

    def test_fits_a_phone(self):
        for name in ("default", "seeds", "axes", "hostile", "unfinished"):
            with self.subTest(name):
                self.open(name, width=360, height=740)
                self.check_clean()
                self.check_fits(360)
        self.open("default", width=360, height=740)
        self.check_drawn(at_least=20)

    def test_dark_mode_draws_in_other_colours(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        line = "Chart.getChart(document.querySelector('canvas')).data.datasets[0].borderColor"
        self.open("default")
        light = self.browser.run(ground), self.browser.run(line)
        self.open("default", dark=True)
        dark = self.browser.run(ground), self.browser.run(line)
        self.assertNotEqual(light[0], dark[0])
        self.assertNotEqual(light[1], dark[1])
        self.check_clean()
        self.check_drawn(at_least=20)

    def test_text_is_never_run(self):
        self.open("hostile")
        self.check_clean()
        self.assertIsNone(self.browser.run("window.pwned ?? null"))
        self.assertEqual(self.browser.run("document.querySelectorAll('img').length"), 0)

    def test_legend_hides_and_shows_lines(self):
        self.open("default")
        count = LOSS_LINES + ".length"
        pressed = "document.querySelector('.legend button').ariaPressed"
        click = "document.querySelector('.legend button').click()"
        before = self.browser.run(count)
        self.browser.run(click)
        self.assertEqual(self.browser.run(count), before - 1)
        self.assertEqual(self.browser.run(pressed), "false")
        self.browser.run(click)
        self.assertEqual(self.browser.run(count), before)
        self.check_clean()
        self.check_drawn(at_least=20)

    def test_all_lines_in_one_chart(self):
        self.open("default")
        self.browser.run("[...document.querySelectorAll('.legend button')].at(-1).click()")
        self.check_clean()
        panels = "document.querySelectorAll('[data-chart=loss] canvas').length"
        self.assertEqual(self.browser.run(panels), 1)
        dashes = f"new Set({LOSS_LINES}.map(set => set.borderDash.join())).size"
        self.assertEqual(self.browser.run(dashes), 2)

    def test_choices_redraw(self):
        self.open("default")
        for select in ("variance_time", "grad_time", "ratio", "activation"):
            self.browser.run(f"""(() => {{ const s = document.getElementById('choose-{select}');
                s.selectedIndex = 1; s.dispatchEvent(new Event('change')); }})()""")
        self.browser.run("document.querySelector('[data-chart=loss] button').click()")
        self.check_clean()
        self.check_drawn(at_least=20)

    def test_tables_hold_the_figures(self):
        self.open("default")
        self.browser.run(
            "document.querySelectorAll('.chart details').forEach(d => { d.open = true; })"
        )
        self.browser.settle()
        cells = "[...document.querySelectorAll('.chart')].map(s => s.querySelectorAll('td').length)"
        rows = self.browser.run(cells)
        self.assertEqual(len(rows), len(SECTIONS))
        self.assertTrue(all(count > 0 for count in rows), rows)
        self.check_clean()

    def test_names_for_those_who_do_not_see_it(self):
        self.open("default")
        self.assertEqual(self.browser.run("document.documentElement.lang"), "en")
        self.assertEqual(self.browser.run("document.querySelectorAll('h1').length"), 1)
        bare = """[...document.querySelectorAll('canvas')]
            .filter(c => c.getAttribute('role') !== 'img' || !c.ariaLabel).length"""
        self.assertEqual(self.browser.run(bare), 0)
        unnamed = """[...document.querySelectorAll('select, button')]
            .filter(e => !e.ariaLabel && !e.labels?.length && !e.textContent.trim()).length"""
        self.assertEqual(self.browser.run(unnamed), 0)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: browser_test.py REPORT_SAMPLE [unittest's arguments]")
    if find_browser() is None:
        print("No Chromium: the browser tests of the report DID NOT RUN (apt install chromium)")
        sys.exit(1 if os.environ.get("CI") else 77)
    ReportInABrowser.sample = sys.argv.pop(1)
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
