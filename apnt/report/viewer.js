const stage = document.querySelector('.stage'), wipe = document.querySelector('#wipe');
const exposure = document.querySelector('#exposure'), surfaces = {};

function showWipe() {
  stage.style.setProperty('--wipe', `${wipe.value}%`);
  document.querySelector('output[for=wipe]').textContent = `${Math.round(wipe.value)} %`;
}

function showSide(id, tag) {
  const select = document.querySelector(`#${id}`), chosen = select.value;
  stage.querySelectorAll(`.${id} [data-layer]`).forEach(layer => {
    layer.classList.toggle('on', layer.dataset.layer === chosen);
  });
  stage.querySelector(`.tag.${tag}`).textContent = select.selectedOptions[0].textContent;
  if (surfaces[chosen]) surfaces[chosen].draw(gain());
}

const gain = () => exposure.dataset.gain * 2 ** exposure.value;

function showExposure() {
  document.querySelector('output[for=exposure]').textContent =
    `${exposure.value < 0 ? '' : '+'}${Number(exposure.value).toFixed(2)} EV`;
  stage.querySelectorAll('canvas.on').forEach(canvas => surfaces[canvas.dataset.layer]?.draw(gain()));
}

// What is shown of radiance can be exposed: where neither side is, the fused one comes to the right.
function expose() {
  if (!stage.querySelector('canvas.on')) {
    document.querySelector('#after').value = 'fused';
    showSide('after', 'right');
  }
  showExposure();
}

function follow(event) {
  const box = stage.getBoundingClientRect();
  wipe.value = 100 * (event.clientX - box.left) / box.width;
  showWipe();
}

stage.addEventListener('pointerdown', event => {
  stage.setPointerCapture(event.pointerId);
  follow(event);
});
stage.addEventListener('pointermove', event => {
  if (stage.hasPointerCapture(event.pointerId)) follow(event);
});
wipe.addEventListener('input', showWipe);
for (const [id, tag] of [['before', 'left'], ['after', 'right']]) {
  document.querySelector(`#${id}`).addEventListener('change', () => showSide(id, tag));
}

async function begin() {
  showWipe();
  for (const canvas of stage.querySelectorAll('canvas')) {
    const text = stage.querySelector(`[data-of=${canvas.dataset.layer}]`);
    const bits = await unpack(text.textContent, canvas.width, canvas.height);
    text.remove();
    surfaces[canvas.dataset.layer] = new Radiance(canvas, bits, Number(canvas.dataset.scale));
  }
  showSide('before', 'left');
  showSide('after', 'right');
  if (exposure) {
    exposure.addEventListener('input', expose);
    document.querySelectorAll('.stops button').forEach(button => button.addEventListener('click', () => {
      exposure.value = button.value;
      expose();
    }));
    showExposure();
    document.querySelector('#way').textContent = `Half floats, drawn by ${surfaces.fused.way}.`;
  }
  stage.dataset.ready = 'yes';
}

begin().catch(error => {
  document.querySelector('.controls').insertAdjacentHTML('beforebegin', '<p class="doubt" role="alert"></p>');
  document.querySelector('[role=alert]').textContent =
    `This browser cannot show the radiance (${error.message}): a newer one can.`;
});
