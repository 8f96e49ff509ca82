package org.example.edgevit

// Preparation.kt
import android.graphics.Bitmap
import android.graphics.Matrix
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round
import kotlin.math.roundToInt

const val HEIGHT = 128
const val WIDTH = 128
private val MEAN = floatArrayOf(0.485f, 0.456f, 0.406f) // red, green, blue
private val STD = floatArrayOf(0.229f, 0.224f, 0.225f)

/** The image turned clockwise by a multiple of 90 degrees, in memory that the processor can read. */
fun upright(image: Bitmap, degrees: Int = 0): Bitmap {
    val software =
        if (image.config == Bitmap.Config.ARGB_8888) image else image.copy(Bitmap.Config.ARGB_8888, false)
    if (degrees % 360 == 0) return software
    val turn = Matrix()
    turn.postRotate(degrees.toFloat())
    return Bitmap.createBitmap(software, 0, 0, software.width, software.height, turn, false)
}

/** What the model sees of an upright image: HEIGHT x WIDTH x (red, green, blue), each 0 to 255. */
fun crop(image: Bitmap): IntArray {
    val shorter = min(image.width, image.height)
    val across = centre(image.width, 128 * image.width / shorter, WIDTH)
    val down = centre(image.height, 128 * image.height / shorter, HEIGHT)
    val line = IntArray(image.width)
    val rows = arrayOfNulls<IntArray>(image.height) // those that are needed, resized across
    val pixels = IntArray(3 * HEIGHT * WIDTH)
    for (y in 0 until HEIGHT) {
        val taps = down[y] ?: continue
        for (row in taps.start until taps.start + taps.size) {
            if (rows[row] != null) continue
            image.getPixels(line, 0, image.width, 0, row, image.width, 1)
            rows[row] = IntArray(3 * WIDTH) { at ->
                across[at / 3]?.sum { x -> (line[x] shr (16 - 8 * (at % 3))) and 255 } ?: 0
            }
        }
        for (at in 0 until 3 * WIDTH) pixels[3 * WIDTH * y + at] = taps.sum { row -> rows[row]!![at] }
    }
    return pixels
}

/** The input pixels that make an output pixel: the first one, and the weight of each from there on. */
private class Taps(val start: Int, val weights: FloatArray) {
    val size = weights.size

    inline fun sum(value: (Int) -> Int): Int {
        var sum = 0f
        for (i in weights.indices) sum += weights[i] * value(start + i)
        return sum.roundToInt().coerceIn(0, 255)
    }
}

/** Of `from` pixels resized to `to`, the `count` in the centre; null, which is black, where there are fewer. */
private fun centre(from: Int, to: Int, count: Int): List<Taps?> {
    val first = if (to < count) -((count - to) / 2) else round((to - count) / 2.0).toInt()
    val scale = from.toDouble() / to
    return List(count) { i ->
        val at = (first + i + 0.5) * scale
        if (first + i in 0 until to) taps(at, max(scale, 1.0), from) else null
    }
}

private fun taps(at: Double, stretch: Double, from: Int): Taps {
    val start = max((at - SUPPORT * stretch + 0.5).toInt(), 0)
    val end = min((at + SUPPORT * stretch + 0.5).toInt(), from)
    val weights = DoubleArray(end - start) { filter(abs((start + it + 0.5 - at) / stretch)) }
    val sum = weights.sum()
    return Taps(start, FloatArray(weights.size) { (weights[it] / sum).toFloat() })
}

private const val SUPPORT = 2

private fun filter(x: Double) = when {
    x < 1 -> (1.5 * x - 2.5) * x * x + 1
    x < 2 -> ((-0.5 * x + 2.5) * x - 4) * x + 2
    else -> 0.0
}

/** Normalised; planar is 3 x HEIGHT x WIDTH, otherwise HEIGHT x WIDTH x 3. */
fun floats(image: Bitmap, planar: Boolean): FloatArray {
    val pixels = crop(image)
    val floats = FloatArray(pixels.size)
    for (i in pixels.indices) {
        val c = i % 3
        val at = if (planar) c * HEIGHT * WIDTH + i / 3 else i
        floats[at] = (pixels[i] / 255f - MEAN[c]) / STD[c]
    }
    return floats
}
