// Draws what labelling.Labeller says and tells it what the user does; it decides nothing by itself.
const KEYS = { u: "undo", s: "skip", ArrowRight: "next", ArrowLeft: "previous" };

function button(text, title, act) {
  const made = document.createElement("button");
  made.textContent = text;
  made.title = title;
  made.addEventListener("click", act);
  return made;
}

function render({ model, el }) {
  const root = document.createElement("div");
  const canvas = document.createElement("canvas");
  const names = document.createElement("div");
  const status = document.createElement("div");
  const bar = document.createElement("div");
  const image = new Image();
  let view = { scale: 1, x: 0, y: 0 }; // canvas px = frame px * scale + (x, y)
  let held = null;
  let address = null;

  const send = (what, more = {}) => model.send({ do: what, ...more });
  const size = () => model.get("size");
  const fit = () => {
    const [width, height] = size();
    const scale = Math.min(canvas.width / width, canvas.height / height);
    view = { scale, x: (canvas.width - width * scale) / 2, y: (canvas.height - height * scale) / 2 };
    draw();
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * canvas.width) / box.width;
    const y = ((event.clientY - box.top) * canvas.height) / box.height;
    return { x, y, fx: (x - view.x) / view.scale - 0.5, fy: (y - view.y) / view.scale - 0.5 };
  };
  const zoom = (factor, x = canvas.width / 2, y = canvas.height / 2) => {
    const scale = Math.min(Math.max(view.scale * factor, 0.05), 40);
    const grown = scale / view.scale;
    view = { scale, x: x - (x - view.x) * grown, y: y - (y - view.y) * grown };
    draw();
  };

  function draw() {
    const pen = canvas.getContext("2d");
    const [width, height] = size();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = "#222";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = view.scale < 3;
    if (image.complete) pen.drawImage(image, view.x, view.y, width * view.scale, height * view.scale);
    const colours = model.get("colours");
    model.get("points").forEach((point, k) => {
      if (!point) return;
      const x = (point[0] + 0.5) * view.scale + view.x;
      const y = (point[1] + 0.5) * view.scale + view.y;
      pen.beginPath();
      pen.arc(x, y, 5, 0, 2 * Math.PI);
      pen.lineWidth = 2;
      pen.strokeStyle = "#fff";
      pen.stroke();
      pen.beginPath();
      pen.arc(x, y, 3, 0, 2 * Math.PI);
      pen.fillStyle = colours[k];
      pen.fill();
    });
  }

  function list() {
    const colours = model.get("colours");
    names.replaceChildren(
      ...model.get("keypoints").map((name, k) => {
        const mark = model.get("points")[k] ? "● " : "○ ";
        const one = button(mark + name, "set this one next", () => send("choose", { keypoint: k }));
        one.style.borderColor = colours[k];
        one.setAttribute("aria-pressed", String(k === model.get("current")));
        return one;
      }),
    );
    status.textContent = model.get("status");
  }

  function load() {
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("image")], { type: "image/jpeg" }));
    image.onload = fit;
    image.src = address;
  }

  canvas.width = 960;
  canvas.height = 600;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Frame to label: click the keypoints in order; wheel zooms, dragging moves");
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = place(event);
    zoom(event.deltaY < 0 ? 1.25 : 0.8, x, y);
  });
  canvas.addEventListener("pointerdown", (event) => {
    held = { ...place(event), moved: false };
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    const { x, y } = place(event);
    held.moved ||= Math.hypot(x - held.x, y - held.y) > 4;
    if (!held.moved) return;
    view = { ...view, x: view.x + x - held.x, y: view.y + y - held.y };
    held = { ...held, x, y };
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (held && !held.moved) {
      const { fx, fy } = place(event);
      send("click", { x: fx, y: fy });
    }
    held = null;
  });
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    event.stopPropagation();
    send(KEYS[event.key]);
  });

  bar.append(
    button("◀ previous", "previous frame (left arrow)", () => send("previous")),
    button("next ▶", "next frame (right arrow)", () => send("next")),
    button("undo", "take the last keypoint back (u)", () => send("undo")),
    button("skip", "this keypoint cannot be seen (s)", () => send("skip")),
    button("+", "zoom in", () => zoom(1.5)),
    button("−", "zoom out", () => zoom(1 / 1.5)),
    button("whole frame", "show the whole frame", fit),
  );
  status.setAttribute("role", "status");
  root.className = "studykit-labeller";
  root.append(bar, names, canvas, status);
  el.append(root);

  model.on("change:image", load);
  model.on("change:points change:current change:status", () => {
    list();
    draw();
  });
  list();
  load();
  return () => address && URL.revokeObjectURL(address);
}

export default { render };
