plugins {
    id("com.android.application") version "8.7.3"
    id("org.jetbrains.kotlin.android") version "2.1.0"
}

android {
    namespace = "org.example.edgevit"
    compileSdk = 35
    defaultConfig {
        applicationId = "org.example.edgevit"
        minSdk = 28 // ImageDecoder
        targetSdk = 35
    }
    androidResources { noCompress += "tflite" } // the model is mapped, not unpacked
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    implementation("com.google.ai.edge.litert:litert:2.3.0")
}
