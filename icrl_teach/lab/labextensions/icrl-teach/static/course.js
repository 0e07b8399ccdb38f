// What JupyterLab loads when `icrl-teach lab` starts it: the course's stylesheet, and a sidebar that begins closed.
// JupyterLab asks an extension's container for its modules (webpack's module federation); this is the smallest one.
{
  const styles = document.createElement("link");
  styles.rel = "stylesheet";
  styles.href = new URL("course.css", document.currentScript.src);
  document.head.append(styles);

  const CLOSED = "icrl-teach:sidebar-closed"; // once a tab: who opens it again finds it open after a reload
  const plugin = {
    id: "icrl-teach:course",
    description: "Closes the sidebar once, so that a lesson has the whole width.",
    autoStart: true,
    activate: (app) => {
      app.restored.then(() => {
        if (sessionStorage.getItem(CLOSED)) return;
        sessionStorage.setItem(CLOSED, "yes");
        app.shell.collapseLeft?.();
      });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB["icrl-teach"] = { init: async () => {}, get: async () => () => plugin };
}
