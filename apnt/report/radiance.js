// Radiance on a canvas: sRGB of radiance * gain, cut off at 1; by WebGL 2, or else by a table of all half floats.
const SHADER = `#version 300 es
precision highp float;
uniform highp sampler2D radiance;
uniform float gain;
out vec4 colour;
void main() {
  ivec2 size = textureSize(radiance, 0), at = ivec2(gl_FragCoord.xy);
  vec3 light = min(texelFetch(radiance, ivec2(at.x, size.y - 1 - at.y), 0).rgb * gain, 1.0);
  vec3 high = 1.055 * pow(light, vec3(1.0 / 2.4)) - 0.055;
  colour = vec4(mix(high, 12.92 * light, lessThanEqual(light, vec3(0.0031308))), 1.0);
}`;
const CORNERS = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;

// The bits of half floats, three a pixel, as apnt/report/radiance.py wrote them.
async function unpack(text, width, height) {
  const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = width * height * 3, bits = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    const step = bytes[i] | bytes[count + i] << 8;
    bits[i] = i % (3 * width) < 3 ? step : bits[i - 3] + step;
  }
  return bits;
}

function half(bits) {
  const exponent = bits >> 10 & 31, fraction = bits & 1023;
  return exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
}

function encoded(light) {
  const value = Math.min(light, 1);
  return Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
}

function byWebGL(canvas, bits) {
  const gl = canvas.getContext('webgl2', { alpha: false, antialias: false, preserveDrawingBuffer: true });
  if (!gl || Math.max(canvas.width, canvas.height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, SHADER]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 2);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB16F, canvas.width, canvas.height, 0, gl.RGB, gl.HALF_FLOAT, bits);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  const place = gl.getUniformLocation(program, 'gain');
  return gain => {
    gl.uniform1f(place, gain);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  };
}

function byTable(canvas, bits) {
  const context = canvas.getContext('2d'), table = new Uint8Array(0x7c00);
  const picture = context.createImageData(canvas.width, canvas.height), pixels = picture.data.fill(255);
  const values = Float64Array.from(table, (_, n) => half(n));
  return gain => {
    values.forEach((value, n) => { table[n] = encoded(value * gain); });
    for (let i = 0, j = 0; i < bits.length; i += 3, j += 4) {
      pixels[j] = table[bits[i]];
      pixels[j + 1] = table[bits[i + 1]];
      pixels[j + 2] = table[bits[i + 2]];
    }
    context.putImageData(picture, 0, 0);
  };
}

// A canvas that shows radiance; `draw(gain)` shows it times `gain`.
class Radiance {
  constructor(canvas, bits, scale) {
    Object.assign(this, { canvas, bits, scale, gain: 1 });
    this.paint = byWebGL(canvas, bits);
    this.way = this.paint ? 'WebGL' : 'canvas';
    if (!this.paint) this.withTable();
    else canvas.addEventListener('webglcontextlost', () => { this.withTable(); this.draw(this.gain); });
  }

  withTable() {  // a canvas that WebGL had stays WebGL's
    const fresh = this.canvas.cloneNode();
    this.canvas.replaceWith(fresh);
    this.canvas = fresh;
    this.paint = byTable(fresh, this.bits);
    this.way = fresh.dataset.way = 'canvas';
  }

  draw(gain) {
    this.gain = gain;
    this.paint(gain * this.scale);
    this.canvas.dataset.way = this.way;
  }
}
