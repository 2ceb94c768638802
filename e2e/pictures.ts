// Pictures of a page, narrow and wide, light and dark: to look at, and to check that nothing sticks out.

import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { expect } from "vitest";

const FOLDER = fileURLToPath(new URL("screenshots", import.meta.url));
const HEIGHT = 800;

/** Leaves `name-width-scheme.png` in the folder `screenshots`; the page stays as it was last pictured. */
export async function takePictures(tab: Page, name: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [380, 1200]) {
      await tab.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await tab.setViewportSize({ width, height: HEIGHT });
      const overflow = await tab.evaluate(
        () => document.documentElement.scrollWidth - window.innerWidth,
      );
      expect(overflow, `${name} at ${width} pixels`).toBeLessThanOrEqual(0);
      await tab.screenshot({ path: `${FOLDER}/${name}-${width}-${colorScheme}.png` });
    }
  }
}
