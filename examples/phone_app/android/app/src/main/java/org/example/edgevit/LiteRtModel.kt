package org.example.edgevit

// LiteRtModel.kt
import android.content.Context
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.BuiltinNpuAcceleratorProvider
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment

/** Open it once, and use it from one thread. */
class LiteRtModel(
    context: Context,
    accelerator: Accelerator = Accelerator.CPU,
    private val environment: Environment? = null,
) : AutoCloseable {
    private val model =
        CompiledModel.create(context.assets, "model.tflite", CompiledModel.Options(accelerator), environment)
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()
    private val labels = context.assets.open("labels.txt").bufferedReader().use { it.readLines() }

    fun run(image: Bitmap): List<Answer> {
        write(image)
        model.run(inputs, outputs)
        return answers(outputs[0].readFloat(), labels)
    }

    private fun write(image: Bitmap) {
        inputs[0].writeFloat(floats(image, planar = false))
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
        environment?.close()
    }
}

/** On the NPU, null where LiteRT knows none. */
fun openOnNpu(context: Context): LiteRtModel? {
    val npu = BuiltinNpuAcceleratorProvider(context)
    return if (npu.isDeviceSupported()) LiteRtModel(context, Accelerator.NPU, Environment.create(npu)) else null
}
