// Puts the page into its document: finds the server it came from, and who is signed in.

import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/overview.css";
import "./style/parts.css";
import { createRoot } from "react-dom/client";
import { serverUrl } from "./api.ts";
import { App } from "./app.tsx";
import { createSession } from "./session.ts";
import { restoreTheme } from "./theme.ts";

restoreTheme();
const root = document.getElementById("app");
if (!root) throw new Error("the document has no #app");
createRoot(root).render(
  <App url={serverUrl(location)} session={createSession(() => sessionStorage)} />,
);
