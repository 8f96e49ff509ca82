package org.example.edgevit

import android.app.Activity
import android.content.Intent
import android.graphics.ImageDecoder
import android.os.Bundle
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import java.util.concurrent.Executors

/** Pick a photo, see its three most probable classes. */
class MainActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor() // the model is used from one thread
    private val model by lazy { LiteRtModel(this) }
    private lateinit var result: TextView

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        result = TextView(this)
        val pick = Button(this)
        pick.text = "Choose a photo"
        pick.setOnClickListener {
            startActivityForResult(Intent(Intent.ACTION_GET_CONTENT).setType("image/*"), 0)
        }
        val page = LinearLayout(this)
        page.orientation = LinearLayout.VERTICAL
        page.addView(pick)
        page.addView(result)
        setContentView(page)
    }

    override fun onActivityResult(request: Int, code: Int, data: Intent?) {
        val photo = data?.data ?: return
        worker.execute {
            val image = ImageDecoder.decodeBitmap(ImageDecoder.createSource(contentResolver, photo)) // turned upright
            val answers = model.run(upright(image)).take(3)
            val text = answers.joinToString("\n") { "%s  %.1f %%".format(it.name, 100 * it.probability) }
            runOnUiThread { result.text = text }
        }
    }

    override fun onDestroy() {
        worker.execute { model.close() }
        worker.shutdown()
        super.onDestroy()
    }
}
